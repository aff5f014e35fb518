"""`POST /v1/models/<model>/...`: what people want. Each answers 202 and the model as it was then."""

from typing import Any

from flask import Blueprint, Response

from registry_hooks.api import wishes
from registry_hooks.api.access import admin, promoter, services
from registry_hooks.api.answers import json_answer
from registry_hooks.api.bodies import body
from registry_hooks.desk.desk import KEEP
from stagedoor import names
from stagedoor.errors import InvalidRequest

views = Blueprint("commands", __name__, url_prefix="/v1/models/<model>")


@views.post("/promote")
def promote(model: str) -> Response:
    """Promote a version, or, without one, end the running rollout now."""
    who = promoter(model).subject
    wish = body(wishes.Promote)
    desk = services().desk
    if "version" in wish:
        alias = wish.get("alias", names.CHAMPION)
        return _taken(desk.promote(model, wish["version"], who=who, alias=alias, strategy=wish.get("strategy")))
    if wish:
        raise InvalidRequest("Name the version to promote, or send {} to end the running rollout now.")
    return _taken(desk.finish(model, who=who))


@views.post("/pause")
def pause(model: str) -> Response:
    """Stay at this step."""
    who = promoter(model).subject
    body(wishes.Nothing)
    return _taken(services().desk.pause(model, who=who))


@views.post("/resume")
def resume(model: str) -> Response:
    """Go on."""
    who = promoter(model).subject
    body(wishes.Nothing)
    return _taken(services().desk.resume(model, who=who))


@views.post("/abort")
def abort(model: str) -> Response:
    """End the running rollout; what is live stays live."""
    who = promoter(model).subject
    body(wishes.Nothing)
    return _taken(services().desk.abort(model, who=who))


@views.post("/withdraw")
def withdraw(model: str) -> Response:
    """Take the model out of service."""
    who = promoter(model).subject
    body(wishes.Nothing)
    return _taken(services().desk.withdraw(model, who=who))


@views.post("/rollback")
def rollback(model: str) -> Response:
    """Go back to an earlier version."""
    who = promoter(model).subject
    wish = body(wishes.Rollback)
    return _taken(services().desk.rollback(model, who=who, to=wish.get("to")))


@views.post("/traffic")
def traffic(model: str) -> Response:
    """Split the traffic by hand, or end that."""
    who = promoter(model).subject
    wish = body(wishes.Traffic)
    return _taken(services().desk.traffic(model, wish["policy"], who=who, sticky=wish.get("sticky", KEEP)))


@views.post("/approve")
def approve(model: str) -> Response:
    """Approve a version as a second person."""
    who = promoter(model).subject
    return _taken(services().desk.approve(model, body(wishes.Approve)["version"], who=who))


@views.post("/drill")
def drill(model: str) -> Response:
    """Put a fault into the candidate, for a test cohort alone."""
    who = admin(model).subject
    wish = body(wishes.Drill)
    return _taken(services().desk.drill(model, wish["fault"], wish["rate"], seconds=wish["seconds"], who=who))


@views.delete("/drill")
def end_drill(model: str) -> Response:
    """End the drill."""
    who = admin(model).subject
    body(wishes.Nothing)
    return _taken(services().desk.end_drill(model, who=who))


def _taken(answer: dict[str, Any]) -> Response:
    services().wake()
    return json_answer(answer, 202)
