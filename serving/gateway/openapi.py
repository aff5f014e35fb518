"""The OpenAPI document: one visible table of operations over the marshmallow schemas."""

from functools import cache
from typing import Any, Final

from marshmallow import Schema

from serving.gateway import schemas
from serving.gateway.openapi_examples import EXAMPLES
from stagedoor.openapi import Interface, Operation

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


_FAILURES: Final = (400, 404, 413, 415, 422, 429, 500, 503, 504)
_MODEL_QUERY: Final = (("model", "A model, as in a path; by default the default model."),)
_WEBHOOK: Final = (("X-MLflow-Signature", "Instead of a token: the signature of an MLflow webhook."),)
_TABULAR: Final = ("application/json", "text/csv", "application/vnd.apache.parquet")
_BINARY: Final = ("application/json", "application/octet-stream")
_V2: Final = "/v2/models/{name}"
_PINNED: Final = "/v2/models/{name}/versions/{version}"


def _prediction(path: str, tag: str, schemas_of: tuple[type[Schema], type[Schema]], **more: Any) -> Operation:  # noqa: ANN401
    body, answer = schemas_of
    return Operation("post", path, tag, "Predict", answer, body, statuses=_FAILURES, predicts=True, **more)


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


_INTERFACE: Final = Interface(
    "Stagedoor gateway",
    "Models promoted in MLflow, behind bearer tokens. Errors are RFC 9457 problems.",
    TAGS,
    _PARAMETERS,
    OPERATIONS,
    schemas.Problem,
    EXAMPLES,
)


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    return _INTERFACE.document()
