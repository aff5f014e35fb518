"""Examples in the OpenAPI document, by schema name. A test holds each against its schema."""

from typing import Any, Final

_ROUTE: Final = {
    "epoch": 12,
    "reason": "Version 3 gets 10 % of the requests.",
    "sticky": None,
    "arms": [{"name": "champion", "version": "2", "weight": 9000}, {"name": "candidate", "version": "3", "weight": 1000}],
    "issued": True,
    "watched": True,
    "slow_seconds": 0.05,
    "warm": ["1"],
    "shield": True,
    "mirror": None,
    "rolling": None,
    "drill": None,
}
_MODEL: Final = {
    "name": "fraud",
    "live": True,
    "aliases": {"champion": "2"},
    "stages": {},
    "route": _ROUTE,
    "loaded": ["1", "2", "3"],
}
_INPUTS: Final = [
    {"name": "amount", "datatype": "FP64", "shape": [-1]},
    {"name": "country", "datatype": "BYTES", "shape": [-1]},
]
_OUTPUTS: Final = [{"name": "label", "datatype": "INT64", "shape": [-1]}]
_SPECS: Final = {"inputs": _INPUTS, "outputs": _OUTPUTS}

EXAMPLES: Final[dict[str, Any]] = {
    "Problem": {
        "type": "/problems/schema_mismatch",
        "title": "Data does not fit the model's signature",
        "status": 422,
        "detail": "amount: expected a double, found a string.",
        "code": "schema_mismatch",
        "request_id": "5f0c1c7be1a94a0d8f6f4f0c2c6f2f3a",
        "field": "amount",
        "expected": "a double",
    },
    "Invocation": {"dataframe_split": {"columns": ["amount", "country"], "data": [[12.5, "NL"], [980.0, "FR"]]}},
    "InvocationAnswer": {"predictions": [0, 1]},
    "InferRequest": {
        "id": "42",
        "inputs": [
            {"name": "amount", "shape": [2], "datatype": "FP64", "data": [12.5, 980.0]},
            {"name": "country", "shape": [2], "datatype": "BYTES", "data": ["NL", "FR"]},
        ],
    },
    "InferAnswer": {
        "model_name": "fraud",
        "model_version": "2",
        "id": "42",
        "outputs": [{"name": "label", "shape": [2], "datatype": "INT64", "data": [0, 1]}],
    },
    "PredictRequest": {"data": [[5.1, 3.5, 1.4, 0.2]], "metadata": {"source": "form"}},
    "PredictAnswer": {
        "request_id": "5f0c1c7be1a94a0d8f6f4f0c2c6f2f3a",
        "predictions": [0],
        "confidence": [0.98],
        "metadata": {"source": "form"},
        "processing_time_ms": 0.21,
    },
    "Models": {"models": [_MODEL]},
    "ModelDetail": {**_MODEL, "version": "2", "flavor": "onnx", **_SPECS},
    "ModelInfo": {"name": "fraud", "version": "2", "type": "onnx", "input_shape": [-1, 2], "output_shape": [-1], **_SPECS},
    "ModelMetadata": {"name": "fraud", "versions": ["2", "3"], "platform": "onnx_onnxv1", **_SPECS},
    "Health": {
        "status": "degraded",
        "reasons": ["The registry was last read 45 seconds ago; the last snapshot is served."],
        "timestamp": "2026-01-31T12:00:00.000+00:00",
        "version": "0.1.0",
    },
    "Introduction": {"role": "gateway", "controller": "http://127.0.0.1:8100", "version": "0.1.0"},
    "Readyz": {"status": "ready", "serial": 12, "staleness_seconds": 0.4, "registry_error": None},
}
