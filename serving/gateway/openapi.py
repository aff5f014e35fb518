"""The OpenAPI document: one visible table of operations over the marshmallow schemas."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from serving.gateway import schemas
from serving.gateway.openapi_examples import EXAMPLES
from stagedoor import __version__, names
from stagedoor.problems import MEDIA_TYPE

PREDICT: Final = "Predictions"
SIMPLE: Final = "Simple API"
OIP: Final = "Open Inference Protocol"
MODELS: Final = "Models"
MACHINE: Final = "Health and operation"

TAGS: Final = {
    PREDICT: "MLflow's scoring protocol, by name, alias, version or stage.",
    OIP: "The Open Inference Protocol v2 over REST, with the binary tensor extension.",
    SIMPLE: "Numbers in, predictions out.",
    MODELS: "What is served and what it takes.",
    MACHINE: "Probes, status, metrics, and a nudge to look at the registry at once.",
}

_PARAMETERS: Final = {
    "ref": "A model: `fraud`, `fraud@champion`, `fraud/7` or `fraud/Production`.",
    "name": "A model's name, or name@alias.",
    "version": "A version number; takes the role tester.",
    "code": "The code of a problem.",
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
    headers_in: tuple[tuple[str, str], ...] = ()
    media_in: tuple[str, ...] = field(default=("application/json",))


_FAILURES: Final = (400, 404, 413, 415, 422, 429, 500, 503, 504)
_MODEL_QUERY: Final = (("model", "A model, as in a path; by default the default model."),)
_WEBHOOK: Final = (("X-MLflow-Signature", "Instead of a token: the signature of an MLflow webhook."),)
_TABULAR: Final = ("application/json", "text/csv", "application/vnd.apache.parquet")
_BINARY: Final = ("application/json", "application/octet-stream")
_V2: Final = "/v2/models/{name}"
_PINNED: Final = "/v2/models/{name}/versions/{version}"


def _prediction(path: str, tag: str, schemas_of: tuple[type[Schema], type[Schema]], **more: Any) -> Operation:  # noqa: ANN401
    body, answer = schemas_of
    return Operation("post", path, tag, "Predict", answer, body, statuses=_FAILURES, **more)


_INVOCATION: Final = (schemas.Invocation, schemas.InvocationAnswer)
_INFER: Final = (schemas.InferRequest, schemas.InferAnswer)
_SIMPLE: Final = (schemas.PredictRequest, schemas.PredictAnswer)

OPERATIONS: Final = (
    _prediction("/models/{ref}/invocations", PREDICT, _INVOCATION, media_in=_TABULAR),
    _prediction(f"{_V2}/infer", OIP, _INFER, media_in=_BINARY),
    _prediction(f"{_PINNED}/infer", OIP, _INFER, media_in=_BINARY),
    Operation("get", _V2, OIP, "Metadata of a model", schemas.ModelMetadata, statuses=(400, 404, 503)),
    Operation("get", _PINNED, OIP, "Metadata of a version", schemas.ModelMetadata, statuses=(400, 404, 503)),
    Operation("get", f"{_V2}/ready", OIP, "Is the model ready?", schemas.ModelReady, statuses=(400, 404, 503)),
    Operation("get", f"{_PINNED}/ready", OIP, "Is the version ready?", schemas.ModelReady, statuses=(400, 404, 503)),
    Operation("get", "/v2", OIP, "Metadata of the server", schemas.ServerMetadata, needs_token=False),
    Operation("get", "/v2/health/live", OIP, "Is the server alive?", schemas.Live, needs_token=False),
    Operation("get", "/v2/health/ready", OIP, "Is the server ready?", schemas.Ready, needs_token=False),
    _prediction("/predict", SIMPLE, _SIMPLE, query=_MODEL_QUERY),
    Operation(
        "get", "/model/info", SIMPLE, "Describe a model", schemas.ModelInfo, statuses=(400, 404, 422, 503), query=_MODEL_QUERY
    ),
    Operation("get", "/health", SIMPLE, "Health with reasons", schemas.Health, needs_token=False),
    Operation("get", "/models", MODELS, "List the models", schemas.Models),
    Operation("get", "/models/{ref}", MODELS, "Describe a model", schemas.ModelDetail, statuses=(400, 404, 503)),
    Operation("get", "/stagedoor", MACHINE, "Who answers here?", schemas.Introduction, needs_token=False),
    Operation("get", "/livez", MACHINE, "Does the process answer?", schemas.Livez, needs_token=False),
    Operation("get", "/readyz", MACHINE, "Can requests be answered?", schemas.Readyz, needs_token=False),
    Operation("get", "/status", MACHINE, "Everything about this machine (viewer)", schemas.Status),
    Operation(
        "post",
        "/nudge",
        MACHINE,
        "Look at the registry now (promoter)",
        schemas.Accepted,
        statuses=(413,),
        status=202,
        headers_in=_WEBHOOK,
    ),
    Operation("get", "/metrics", MACHINE, "Prometheus metrics", "text/plain", needs_token=False),
    Operation("get", "/openapi.json", MACHINE, "This document", "application/json", needs_token=False),
    Operation("get", "/docs", MACHINE, "The page for people", "text/html", needs_token=False),
    Operation("get", "/problems/{code}", MACHINE, "What a problem means", "text/html", needs_token=False, statuses=(404,)),
)


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    spec = APISpec(
        title="Stagedoor gateway",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": "Models promoted in MLflow, behind bearer tokens. Errors are RFC 9457 problems."},
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        plugins=[MarshmallowPlugin(schema_name_resolver=_schema_name)],
    )
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    _problem_response(spec)
    for path in dict.fromkeys(operation.path for operation in OPERATIONS):
        operations = {one.method: _operation(one) for one in OPERATIONS if one.path == path}
        spec.path(path=path, parameters=_path_parameters(path), operations=operations)
    found: dict[str, Any] = spec.to_dict()
    return found


def _schema_name(schema: Any) -> str:  # noqa: ANN401  a class, an instance or a name
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__


def _problem_response(spec: APISpec) -> None:
    spec.components.response(
        "Problem",
        {
            "description": "A problem; `code` says which, and `/problems/<code>` what to do.",
            "content": {MEDIA_TYPE: {"schema": schemas.Problem, "example": EXAMPLES["Problem"]}},
        },
    )


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"in": "path", "name": name, "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in _PARAMETERS.items()
        if f"{{{name}}}" in path
    ]


def _operation(one: Operation) -> dict[str, Any]:
    refused = (401, 403) if one.needs_token else ()
    described: dict[str, Any] = {
        "tags": [one.tag],
        "summary": one.summary,
        "operationId": _operation_id(one),
        "responses": {str(one.status): _answer(one)} | {str(s): "Problem" for s in sorted({*refused, *one.statuses})},
    }
    if one.needs_token:
        described["security"] = [{"token": []}]
    if one.body is not None:
        described["requestBody"] = {"required": True, "content": {media: _media_in(one, media) for media in one.media_in}}
    parameters = [("query", *pair) for pair in one.query] + [("header", *pair) for pair in one.headers_in]
    if parameters:
        described["parameters"] = [
            {"in": where, "name": name, "description": text, "schema": {"type": "string"}} for where, name, text in parameters
        ]
    return described


def _operation_id(one: Operation) -> str:
    words = one.path.replace("{", "").replace("}", "").replace(".", "/").replace("-", "_").strip("/").split("/")
    return "_".join([one.method, *(word for word in words if word)])


def _media_in(one: Operation, media: str) -> dict[str, Any]:
    if media != "application/json":
        return {"schema": {"type": "string"}}
    assert one.body is not None  # noqa: S101  asked for bodies only
    return {"schema": one.body} | _example(one.body)


def _answer(one: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": one.summary}
    if isinstance(one.answer, str):
        answer["content"] = {one.answer: {"schema": {"type": "object" if "json" in one.answer else "string"}}}
    else:
        answer["content"] = {"application/json": {"schema": one.answer} | _example(one.answer)}
    shown = [names.HEADER_REQUEST_ID]
    if one.body is not None:
        shown += [names.HEADER_MODEL_NAME, names.HEADER_MODEL_VERSION, names.HEADER_MODEL_ARM, names.HEADER_ROUTE_EPOCH]
    answer["headers"] = {name: {"schema": {"type": "string"}} for name in shown}
    return answer


def _example(schema: type[Schema]) -> dict[str, Any]:
    return {"example": EXAMPLES[schema.__name__]} if schema.__name__ in EXAMPLES else {}
