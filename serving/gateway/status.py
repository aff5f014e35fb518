"""Probes for machines, health for operators, and the whole truth for `stagedoor status`."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, current_app

from serving.gateway.access import current_principal, services, viewer_or_nobody
from serving.gateway.answers import json_answer
from serving.gateway.health import HTTP_STATUS, Health, is_ready, judge_health
from serving.gateway.models import describe_route
from serving.gateway.node import Node, NodeReader, signs_of, staleness
from stagedoor import __version__, names
from stagedoor.auth import Principal, check_role
from stagedoor.auth.permissions import may_see
from stagedoor.domain.snapshot import ModelEntry

views = Blueprint("status", __name__)

READER = "stagedoor.node"


def node_reader() -> NodeReader:
    """The app's reader of the state folder."""
    reader: NodeReader = current_app.extensions[READER]
    return reader


@views.get("/stagedoor")
def introduce() -> Response:
    """Who answers here, for programs that were given one address of several."""
    controller = services().settings.controller_url
    where = str(controller).rstrip("/") if controller is not None else None
    return json_answer({"role": "gateway", "controller": where, "version": __version__})


@views.get("/livez")
def livez() -> Response:
    """The process answers; nothing else is asked."""
    return json_answer({"status": "alive"})


@views.get("/v2/health/live")
def open_inference_live() -> Response:
    """The same, as the Open Inference Protocol writes it."""
    return json_answer({"live": True})


@views.get("/readyz")
def readyz() -> Response:
    """Whether requests can be answered, with how old the knowledge of the registry is."""
    now = time.time()
    node = node_reader().read(now)
    signs = signs_of(services(), node, now)
    ready = is_ready(signs)
    body = {
        "status": "ready" if ready else "not ready",
        "serial": signs.serial,
        "staleness_seconds": _rounded(signs.staleness),
        "registry_error": signs.registry_error,
    }
    return json_answer(body, 200 if ready else 503)


@views.get("/v2/health/ready")
def open_inference_ready() -> Response:
    """The same, as the Open Inference Protocol writes it."""
    now = time.time()
    ready = is_ready(signs_of(services(), node_reader().read(now), now))
    return json_answer({"ready": ready}, 200 if ready else 503)


@views.get("/health")
def health() -> Response:
    """Healthy, degraded or unhealthy, and why. Names of models are told to viewers only."""
    now = time.time()
    node = node_reader().read(now)
    judged = _judge(node, now)
    body: dict[str, Any] = {
        "status": judged.status,
        "reasons": list(judged.reasons),
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "version": __version__,
    }
    viewer = viewer_or_nobody()
    if viewer is not None:
        body["problems"] = {entry.name: list(entry.problems) for entry in _visible(node, viewer) if entry.problems}
    return json_answer(body, HTTP_STATUS[judged.status])


@views.get("/status")
def status() -> Response:
    """Everything about this machine that a viewer may know; `stagedoor status` prints it."""
    principal = current_principal()
    check_role(principal, "read the status", names.ROLE_VIEWER)
    now = time.time()
    node = node_reader().read(now)
    judged = _judge(node, now)
    entries = _visible(node, principal)
    shown = {entry.name for entry in entries}
    body = {
        "version": __version__,
        "node": services().settings.node,
        "follow": services().settings.follow,
        "now": now,
        "serial": node.snapshot.serial,
        "health": {"status": judged.status, "reasons": list(judged.reasons)},
        "staleness_seconds": _rounded(staleness(node.heartbeat, now)),
        "registry": asdict(node.heartbeat) if node.heartbeat else None,
        "models": [describe_entry(entry) for entry in entries],
        "workers": [_without_hidden(worker, shown) for worker in node.workers],
    }
    return json_answer(body)


def describe_entry(entry: ModelEntry) -> dict[str, Any]:
    """One model as the resolver published it: wish, reality, and the difference."""
    return {
        "name": entry.name,
        "live": entry.route is not None,
        "aliases": dict(entry.aliases),
        "stages": dict(entry.stages),
        "policy": entry.policy,
        "sticky": entry.sticky,
        "route": describe_route(entry),
        "versions": [asdict(version) for _, version in sorted(entry.versions.items(), key=lambda item: int(item[0]))],
        "problems": list(entry.problems),
    }


def _judge(node: Node, now: float) -> Health:
    return judge_health(signs_of(services(), node, now), services().settings.stale_after_seconds)


def _visible(node: Node, principal: Principal) -> list[ModelEntry]:
    return [entry for name, entry in sorted(node.snapshot.models.items()) if may_see(principal, name)]


def _without_hidden(worker: Mapping[str, Any], shown: set[str]) -> dict[str, Any]:
    """A worker's report without the models that this viewer's patterns do not match."""
    report = dict(worker)
    for key in ("models", "routes"):
        by_model = report.get(key)
        if isinstance(by_model, dict):
            report[key] = {name: what for name, what in by_model.items() if name in shown}
    return report


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
