"""The OpenAPI document: one visible table of operations over the marshmallow schemas."""

from functools import cache
from typing import Any, Final

from marshmallow import Schema

from registry_hooks.api import schemas, wishes
from stagedoor.openapi import Interface, Operation

COMMANDS: Final = "Commands"
QUESTIONS: Final = "Questions"
MACHINE: Final = "Health and operation"
TAGS: Final = {
    COMMANDS: "What should be live. Each is taken down in MLflow at once, and carried out by the controller.",
    QUESTIONS: "What is under way, what was, and why.",
    MACHINE: "Probes, metrics, and hints to look at the registry at once.",
}


_MODEL: Final = "/v1/models/{model}"
_REFUSALS: Final = (400, 404, 409, 413, 415, 422, 502, 503)


def _command(verb: str, summary: str, body: type[Schema], answer: type[Schema] = schemas.Asked) -> Operation:
    return Operation("post", f"{_MODEL}/{verb}", COMMANDS, summary, answer, body, statuses=_REFUSALS, status=202)


OPERATIONS: Final = (
    Operation("get", "/v1/models", QUESTIONS, "All models (viewer)", schemas.Models),
    Operation("get", _MODEL, QUESTIONS, "One model (viewer)", schemas.Model, statuses=(400, 404, 502, 503)),
    Operation(
        "get",
        f"{_MODEL}/history",
        QUESTIONS,
        "What was decided, and what was live at a moment (viewer)",
        schemas.History,
        statuses=(400, 404, 422, 502, 503),
        query=(("at", "ISO 8601 or seconds since 1970."), ("limit", "Most entries, up to 1000.")),
    ),
    Operation(
        "get",
        f"{_MODEL}/routes/{{epoch}}",
        QUESTIONS,
        "The route of an epoch (viewer)",
        schemas.Route,
        statuses=(400, 404, 409, 422, 502, 503),
    ),
    Operation(
        "get",
        f"{_MODEL}/experiment",
        QUESTIONS,
        "How the arms of a split do (viewer)",
        "application/json",
        statuses=(400, 404, 409, 502, 503),
    ),
    Operation("get", "/v1/ledger/verify", QUESTIONS, "Verify the ledger (viewer)", schemas.Verification, statuses=(503,)),
    _command("promote", "Promote a version, or end the running rollout now (promoter)", wishes.Promote),
    _command("pause", "Stay at this step (promoter)", wishes.Nothing),
    _command("resume", "Go on (promoter)", wishes.Nothing),
    _command("abort", "End the running rollout (promoter)", wishes.Nothing),
    _command("rollback", "Go back to an earlier version (promoter)", wishes.Rollback),
    _command("withdraw", "Take the model out of service (promoter)", wishes.Nothing),
    _command("traffic", "Split the traffic by hand (promoter)", wishes.Traffic),
    _command("approve", "Approve a version as a second person (promoter)", wishes.Approve),
    _command("drill", "Put a fault into the candidate for a test cohort (admin)", wishes.Drill, schemas.Drilled),
    Operation("delete", f"{_MODEL}/drill", COMMANDS, "End the drill (admin)", schemas.Asked, statuses=_REFUSALS, status=202),
    Operation("get", "/livez", MACHINE, "Does the process answer?", schemas.State, needs_token=False),
    Operation("get", "/readyz", MACHINE, "Does the controller decide?", schemas.State, needs_token=False),
    Operation("get", "/stagedoor", MACHINE, "What is this, and where is the rest?", schemas.Role, needs_token=False),
    Operation("post", "/nudge", MACHINE, "Look at the registry now (promoter)", schemas.State, statuses=(413,), status=202),
    Operation(
        "post",
        "/webhooks/mlflow",
        MACHINE,
        "A webhook that MLflow signed",
        schemas.State,
        needs_token=False,
        statuses=(401, 413),
        status=202,
    ),
    Operation("get", "/metrics", MACHINE, "Prometheus metrics", "text/plain", needs_token=False),
    Operation("get", "/openapi.json", MACHINE, "This document", "application/json", needs_token=False),
    Operation("get", "/problems/{code}", MACHINE, "What a problem means", "text/plain", needs_token=False, statuses=(404,)),
)

_PARAMETERS: Final = {
    "model": "A registered model.",
    "epoch": "The epoch of a route, as in X-Route-Epoch.",
    "code": "The code of a problem.",
}


_INTERFACE: Final = Interface(
    "Stagedoor controller",
    "Promotions that guard and undo themselves. Errors are RFC 9457 problems.",
    TAGS,
    _PARAMETERS,
    OPERATIONS,
    schemas.Problem,
)


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    return _INTERFACE.document()
