"""The OpenAPI document: one visible table of operations over the marshmallow schemas."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from registry_hooks.api import schemas, wishes
from stagedoor import __version__
from stagedoor.problems import MEDIA_TYPE

COMMANDS: Final = "Commands"
QUESTIONS: Final = "Questions"
MACHINE: Final = "Health and operation"
TAGS: Final = {
    COMMANDS: "What should be live. Each is taken down in MLflow at once, and carried out by the controller.",
    QUESTIONS: "What is under way, what was, and why.",
    MACHINE: "Probes, metrics, and hints to look at the registry at once.",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `statuses` are those of its problems; 401 and 403 come with a needed token."""

    method: str
    path: str
    tag: str
    summary: str
    answer: type[Schema] | str
    body: type[Schema] | None = None
    needs_token: bool = True
    statuses: tuple[int, ...] = ()
    status: int = 200
    query: tuple[tuple[str, str], ...] = ()


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


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    spec = APISpec(
        title="Stagedoor controller",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": "Promotions that guard and undo themselves. Errors are RFC 9457 problems."},
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        plugins=[MarshmallowPlugin(schema_name_resolver=_schema_name)],
    )
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.response(
        "Problem",
        {
            "description": "A problem; `code` says which, and `/problems/<code>` what to do.",
            "content": {MEDIA_TYPE: {"schema": schemas.Problem}},
        },
    )
    for path in dict.fromkeys(operation.path for operation in OPERATIONS):
        operations = {one.method: _operation(one) for one in OPERATIONS if one.path == path}
        spec.path(path=path, parameters=_path_parameters(path), operations=operations)
    found: dict[str, Any] = spec.to_dict()
    return found


def _schema_name(schema: Any) -> str:  # noqa: ANN401  a class, an instance or a name
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"in": "path", "name": name, "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in _PARAMETERS.items()
        if f"{{{name}}}" in path
    ]


def _operation(one: Operation) -> dict[str, Any]:
    refused = (401, 403) if one.needs_token else ()
    media = one.answer if isinstance(one.answer, str) else "application/json"
    kind = {"type": "object" if "json" in media else "string"} if isinstance(one.answer, str) else one.answer
    described: dict[str, Any] = {
        "tags": [one.tag],
        "summary": one.summary,
        "operationId": "_".join([one.method, *one.path.replace("{", "").replace("}", "").replace(".", "/").split("/")[1:]]),
        "responses": {str(one.status): {"description": one.summary, "content": {media: {"schema": kind}}}}
        | {str(status): "Problem" for status in sorted({*refused, *one.statuses})},
    }
    if one.needs_token:
        described["security"] = [{"token": []}]
    if one.body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": one.body}}}
    if one.query:
        described["parameters"] = [
            {"in": "query", "name": name, "description": text, "schema": {"type": "string"}} for name, text in one.query
        ]
    return described
