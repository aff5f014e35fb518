"""Probes, where things are, hints to look at the registry, and pages about problems."""

import time

from flask import Blueprint, Response, request

from registry_hooks.api.access import promoter, services
from registry_hooks.api.answers import json_answer
from registry_hooks.api.openapi import document
from stagedoor import __version__
from stagedoor.errors import TokenInvalid
from stagedoor.problems import BY_CODE, RouteNotFound
from stagedoor.telemetry import get_logger

views = Blueprint("machine", __name__)


class NothingHere(RouteNotFound):
    """No path of the controller."""

    def __str__(self) -> str:
        return "There is nothing at this path. /openapi.json lists the paths of this controller."


@views.get("/livez")
def livez() -> Response:
    """The process answers."""
    return json_answer({"status": "alive"})


@views.get("/readyz")
def readyz() -> Response:
    """Whether the controller decides, and if not, what is missing."""
    missing = list(services().missing())
    return json_answer({"status": "not ready" if missing else "ready", "missing": missing}, 503 if missing else 200)


@views.get("/stagedoor")
def role() -> Response:
    """What this is and where the rest is, so that one address suffices to find all."""
    places = services().places
    return json_answer(
        {
            "role": "controller",
            "gateway": places.gateway,
            "controller": places.controller,
            "mlflow": places.mlflow,
            "version": __version__,
        }
    )


@views.post("/nudge")
def nudge() -> Response:
    """Look at the registry now. A hint: what is done is decided by what the registry says."""
    promoter()
    request.get_data()
    services().wake()
    return json_answer({"status": "accepted"}, 202)


@views.post("/webhooks/mlflow")
def webhook() -> Response:
    """The same, from MLflow itself. A delivery seen before is taken and does nothing."""
    accept = services().accept_webhook
    body = request.get_data()
    if accept is None:
        raise TokenInvalid("a webhook came, and no STAGEDOOR_WEBHOOK_SECRET is set")
    headers = {name.lower(): value for name, value in request.headers}
    new = accept(headers, body, time.time())
    if new:
        services().wake()
    get_logger().debug("webhook", new=new)
    return json_answer({"status": "accepted"}, 202)


@views.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI document."""
    return json_answer(document())


@views.get("/problems/<code>")
def problem(code: str) -> Response:
    """What a problem's `type` leads to: what it means and what to do. Raises NothingHere for any other code."""
    row = BY_CODE.get(code)
    if row is None:
        raise NothingHere
    return Response(f"{row.title} ({row.status}, {row.code})\n\n{row.advice}\n", content_type="text/plain; charset=utf-8")
