"""Bodies, signatures, and the one call that reads a body against a signature."""

import json
from typing import Any

from serving.codecs import CODECS, Wire
from serving.schema import Signature, compile_signature

MAX_ROWS = 10


def columns(**types: str) -> Signature:
    return compile_signature([{"type": kind, "name": name, "required": True} for name, kind in types.items()], None, None)


def tensor(dtype: str, *shape: int, name: str | None = None) -> Signature:
    spec: dict[str, Any] = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}
    return compile_signature([{**spec, "name": name} if name else spec], None, None)


NUMBERS = columns(age="double", size="double")
MIXED = columns(age="double", count="long", name="string", good="boolean")
MATRIX = tensor("float64", -1, 2)


def decode(codec: str, body: object, signature: Signature, content_type: str = "application/json", **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return CODECS[codec].decode(Wire(raw, content_type, named), signature, MAX_ROWS)


def infer(shape: object = (1, 2), datatype: object = "FP64", data: object = (1.0, 2.0), **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}], **more}


GOOD = {
    "mlflow": {"inputs": [[1.0, 2.0]]},
    "simple": {"data": [[1.0, 2.0]]},
    "v2": infer(),
}
