"""What a model answered, in short; whether it keeps to the outputs that its signature declares; whether it is as expected."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from serving.codecs.mlflow_scoring import predictions
from serving.codecs.render import dump
from serving.schema import Signature
from serving.values import UNNAMED, Array, Outputs, TensorSpec, oip_datatype

_KINDS: Final = {"B": "boolean", "I": "whole numbers", "U": "whole numbers", "F": "numbers"}
_ANONYMOUS: Final = frozenset({UNNAMED, "0"})
"""Names that no author gave: an unnamed array, and the column of an unnamed Series."""

Declared = Sequence[Mapping[str, Any]]


def summary(outputs: Outputs) -> list[dict[str, Any]]:
    """Name, datatype and shape of each array; one entry `json` for an answer that is not made of arrays."""
    if outputs.kind == "json":
        return [{"name": "", "datatype": "JSON", "shape": []}]
    return [
        {"name": name, "datatype": oip_datatype(array.dtype), "shape": list(array.shape)}
        for name, array in outputs.arrays.items()
    ]


def off_schema(declared: Declared, signature: Signature, outputs: Outputs) -> str | None:
    """What of `outputs` is not as the signature declares; None if all is, or if it declares nothing.

    More outputs than declared are no fault: a classifier's graph gives probabilities beside the label. Declared outputs
    without a name are held against those that came in order. Whole numbers do for floating point, and sizes that are not
    fixed are free.
    """
    if not declared or outputs.kind == "json":
        return None
    arrays = outputs.arrays
    if len(declared) > len(arrays):
        return f"the signature declares {len(declared)} outputs, and {len(arrays)} came"
    by_name = all(column.get("name") for column in declared) and not arrays.keys() <= _ANONYMOUS
    for spec, column, came in zip(signature.outputs, declared, arrays, strict=False):
        name = spec.name if by_name else came
        if name not in arrays:
            return f"the signature declares the output {name}, which did not come"
        misfit = _misfit(column, spec, arrays[name])
        if misfit is not None:
            return misfit
    return None


def differs(outputs: Outputs, expected: object, tolerance: float) -> bool:
    """Whether the answer, as MLflow's protocol writes it, is not `expected` within the relative `tolerance`."""
    got = json.loads(dump({"predictions": predictions(outputs)}))["predictions"]
    return not _alike(got, expected, tolerance)


def _misfit(column: Mapping[str, Any], spec: TensorSpec, array: Array) -> str | None:
    declared = _kind(spec.datatype) or ("strings" if _is_text(column) else None)
    came = _kind(oip_datatype(array.dtype)) or "strings or objects"
    if declared is not None and not _does_for(came, declared):
        return f"{spec.name}: the signature declares {declared}, and {came} came"
    if column.get("type") == "tensor" and not _fits(array.shape, spec.shape):
        return f"{spec.name}: the signature declares the shape {list(spec.shape)}, and {list(array.shape)} came"
    return None


def _kind(datatype: str) -> str | None:
    return _KINDS.get(datatype[0]) if datatype != "BYTES" else None


def _is_text(column: Mapping[str, Any]) -> bool:
    dtype = str(column.get("tensor-spec", {}).get("dtype", ""))
    return column.get("type") == "string" or dtype.startswith(("<U", "U", "str"))


def _does_for(came: str, declared: str) -> bool:
    if declared == "strings":
        return came == "strings or objects"
    # Object arrays hold nullable numbers, too.
    return came in {declared, "strings or objects"} or (came == "whole numbers" and declared == "numbers")


def _fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    if len(shape) + 1 == len(declared) and declared[-1] == 1:
        return _fits((*shape, 1), declared)
    if len(shape) == len(declared) + 1 and shape[-1] == 1:
        return _fits(shape[:-1], declared)
    return len(shape) == len(declared) and all(want in {-1, size} for size, want in zip(shape, declared, strict=True))


def _alike(got: object, expected: object, tolerance: float) -> bool:
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    if isinstance(got, int | float) and isinstance(expected, int | float):
        return math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(got, list) and isinstance(expected, list):
        return len(got) == len(expected) and all(_alike(g, e, tolerance) for g, e in zip(got, expected, strict=True))
    if isinstance(got, dict) and isinstance(expected, dict):
        return got.keys() == expected.keys() and all(_alike(got[key], expected[key], tolerance) for key in got)
    return got == expected
