"""The simple API, `POST /predict`: data in, predictions and confidence out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from serving.codecs.json_body import read_object, refuse_unknown
from serving.codecs.mlflow_scoring import predictions
from serving.codecs.render import dump, jsonable
from serving.codecs.wire import JSON, Answer, Decoded, Encoded, Wire, media_type
from serving.schema import Signature
from serving.schema.shapes import checked_shape, describe, unnest
from serving.values import Array, Arrays, Inputs, Outputs
from stagedoor.errors import InvalidRequest, SchemaMismatch

_KEYS: Final = frozenset(("data", "shape", "metadata"))
_PROBABILITIES: Final = frozenset(
    ("confidence", "probability", "probabilities", "predict_proba", "proba", "output_probability", "output_probabilities")
)


@dataclass(frozen=True, slots=True)
class _Reply:
    metadata: orjson.Fragment | None


class Simple:
    """`data`, `shape`, `metadata` -> `request_id`, `predictions`, `confidence`, `metadata`, `processing_time_ms`."""

    def decode(self, wire: Wire, signature: Signature, max_rows: int) -> Decoded:
        """Read and check a request. `metadata` comes back as it was."""
        media_type(wire.content_type, (JSON,))
        body = read_object(wire.body)
        refuse_unknown(body, _KEYS, "The body")
        data = body.get("data")
        if data is None or data in ([], {}):
            raise SchemaMismatch("data", "at least one value", "none")
        inputs = _read(data, body.get("shape"), signature, max_rows)
        return Decoded(signature.with_params(inputs, None), _Reply(_echo(body.get("metadata"))))

    def encode(self, outputs: Outputs, decoded: Decoded, signature: Signature, answer: Answer) -> Encoded:  # noqa: ARG002
        """Labels as `predictions` where the model also gives probabilities; `confidence` is null where it gives none."""
        labels, confidence = split_confidence(outputs)
        return Encoded(
            dump(
                {
                    "request_id": answer.request_id,
                    "predictions": _predictions(labels),
                    "confidence": None if confidence is None else jsonable(confidence),
                    "metadata": decoded.reply.metadata if isinstance(decoded.reply, _Reply) else None,
                    "processing_time_ms": round(answer.elapsed_ms, 3),
                }
            )
        )


def split_confidence(outputs: Outputs) -> tuple[Outputs, Array | None]:
    """The answer without its probabilities, and each row's largest probability (None where there are none).

    Probabilities are the one output whose name says so, of shape [n] or [n, classes], within 0 and 1. An answer of
    probabilities alone keeps them as its predictions.
    """
    if outputs.kind not in ("named", "table"):
        return outputs, None
    found = [name for name in outputs.arrays if name.lower() in _PROBABILITIES]
    if len(found) != 1:
        return outputs, None
    array = outputs.arrays[found[0]]
    if array.dtype.kind != "f" or array.ndim not in (1, 2) or array.size == 0 or array.min() < 0 or array.max() > 1.000001:  # noqa: PLR2004
        return outputs, None
    confidence = array if array.ndim == 1 else np.max(array, axis=1)
    rest: Arrays = {name: values for name, values in outputs.arrays.items() if name != found[0]}
    return (Outputs(outputs.kind, rest) if rest else outputs), confidence


def _predictions(outputs: Outputs) -> Any:  # noqa: ANN401  a JSON value
    if outputs.kind in ("named", "table") and len(outputs.arrays) == 1:
        return jsonable(next(iter(outputs.arrays.values())))
    return predictions(outputs)


def _echo(metadata: object) -> orjson.Fragment | None:
    if metadata is None:
        return None
    if type(metadata) is not dict:
        raise InvalidRequest("metadata must be an object.")
    try:
        return orjson.Fragment(orjson.dumps(metadata))
    except TypeError:
        raise InvalidRequest("metadata is nested too deeply.") from None


def _read(data: object, shape: object, signature: Signature, max_rows: int) -> Inputs:
    if shape is not None:
        return signature.form.nested(_shaped(data, checked_shape(shape, "shape"), max_rows), max_rows)
    if type(data) is dict:
        scalars = all(type(value) not in (list, dict) for value in data.values())
        return signature.form.records([data], max_rows) if scalars else signature.form.named(data, max_rows)
    if type(data) is list and type(data[0]) not in (list, dict):
        return signature.form.nested(_as_row(data, signature), max_rows)
    return signature.form.nested(data, max_rows)


def _as_row(data: list[Any], signature: Signature) -> list[Any]:
    """A flat list is one row where the model takes rows of that size."""
    specs = signature.inputs
    if len(specs) > 1:
        return [data]
    rest = specs[0].shape[1:] if specs else ()
    if rest and -1 not in rest and math.prod(rest) == len(data):
        return _nested(data, (1, *rest))
    return data


def _shaped(data: object, shape: tuple[int, ...], max_rows: int) -> Any:  # noqa: ANN401  a JSON value
    if isinstance(data, Mapping):
        raise SchemaMismatch("shape", "none, since the data has names", "a shape")
    own, flat = unnest(data, "data", max_rows * max(1, math.prod(shape[1:])))
    if math.prod(shape) != len(flat) or (len(own) > 1 and own != shape):
        raise SchemaMismatch("data", describe(shape), describe(own))
    return _nested(flat, shape) if shape else flat[0]


def _nested(flat: list[Any], shape: tuple[int, ...]) -> list[Any]:
    for size in reversed(shape[1:]):
        flat = [flat[start : start + size] for start in range(0, len(flat), size)]
    return flat
