"""The bodies of every path as marshmallow schemas. The OpenAPI document is made of them, and tests hold answers against them.

They document and test; requests are checked by the codecs against the model's own signature, which is the quicker way.
"""

from serving.gateway.schemas.machine import (
    Accepted,
    Health,
    Judgement,
    Live,
    Livez,
    ModelStatus,
    Ready,
    Readyz,
    Registry,
    Status,
    VersionState,
)
from serving.gateway.schemas.models import (
    Arm,
    Model,
    ModelDetail,
    ModelInfo,
    ModelMetadata,
    ModelReady,
    Models,
    Route,
    ServerMetadata,
    Tensor,
)
from serving.gateway.schemas.predictions import (
    AnswerTensor,
    DataframeSplit,
    InferAnswer,
    InferRequest,
    Invocation,
    InvocationAnswer,
    PredictAnswer,
    PredictRequest,
    RequestedOutput,
    RequestTensor,
)
from serving.gateway.schemas.problem import (
    Problem,
)

__all__ = [
    "Accepted",
    "AnswerTensor",
    "Arm",
    "DataframeSplit",
    "Health",
    "InferAnswer",
    "InferRequest",
    "Invocation",
    "InvocationAnswer",
    "Judgement",
    "Live",
    "Livez",
    "Model",
    "ModelDetail",
    "ModelInfo",
    "ModelMetadata",
    "ModelReady",
    "ModelStatus",
    "Models",
    "PredictAnswer",
    "PredictRequest",
    "Problem",
    "Ready",
    "Readyz",
    "Registry",
    "RequestTensor",
    "RequestedOutput",
    "Route",
    "ServerMetadata",
    "Status",
    "Tensor",
    "VersionState",
]
