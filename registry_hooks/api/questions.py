"""`GET /v1/...`: what is under way, what was, and why."""

from datetime import UTC, datetime
from typing import Final

from flask import Blueprint, Response, request

from registry_hooks.api.access import services, viewer
from registry_hooks.api.answers import json_answer
from stagedoor.auth.permissions import may_see
from stagedoor.errors import InvalidRequest

views = Blueprint("questions", __name__, url_prefix="/v1")

MAX_LIMIT: Final = 1000
_YEAR_9999: Final = 253_402_300_799.0


@views.get("/models")
def models() -> Response:
    """The models that this token may see, and what the controller itself waits for."""
    caller = viewer()
    rows = services().desk.models()
    seen = [row for name, row in sorted(rows.items()) if may_see(caller, name)]
    return json_answer({"models": seen, "missing": list(services().missing())})


@views.get("/models/<model>")
def one(model: str) -> Response:
    """One model."""
    viewer(model)
    return json_answer(services().desk.model(model))


@views.get("/models/<model>/history")
def history(model: str) -> Response:
    """What was decided, newest first; with `?at=` what was live then."""
    viewer(model)
    at = request.args.get("at")
    moment = None if at is None else moment_of(at)
    return json_answer(services().desk.history(model, at=moment, limit=_limit(request.args.get("limit", "100"))))


@views.get("/models/<model>/routes/<epoch>")
def route(model: str, epoch: str) -> Response:
    """The route of one epoch: salt, weights, who made it and why."""
    viewer(model)
    if not epoch.isascii() or not epoch.isdecimal() or len(epoch) > 15:  # noqa: PLR2004  a bound before arithmetic
        raise InvalidRequest("An epoch is a whole number, as in the header X-Route-Epoch.")
    return json_answer(services().desk.route(model, int(epoch)))


@views.get("/models/<model>/experiment")
def experiment(model: str) -> Response:
    """How the arms of the split do."""
    viewer(model)
    return json_answer(services().desk.experiment(model))


@views.get("/ledger/verify")
def verify() -> Response:
    """Walk along the ledger's chain."""
    viewer()
    return json_answer(services().desk.verify())


def moment_of(text: str) -> float:
    """Seconds since 1970 of a number of them, or of an ISO 8601 time (UTC unless it says otherwise). Raises InvalidRequest."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = _iso(text)
    if not 0 <= seconds <= _YEAR_9999:
        raise InvalidRequest("`at` lies outside of time as we know it. Write it as 2026-01-31T12:00:00Z.")
    return seconds


def _iso(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError as error:
        raise InvalidRequest("`at` is no time. Write it as 2026-01-31T12:00:00Z, or in seconds since 1970.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MAX_LIMIT:  # noqa: PLR2004
        raise InvalidRequest(f"`limit` is a whole number from 1 to {MAX_LIMIT}.")
    return int(text)
