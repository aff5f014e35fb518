"""What one value may be: MLflow's data types and numpy's, each with the conversions that lose nothing.

MLflow parses JSON leniently (`"5"` and `true` become 5.0 and 1.0, 1.7 becomes 1) and only then enforces its rules. Here the
rules hold for what was sent: a number column takes numbers, an integer column integers in range, and no value changes
silently. Whole numbers do for floating point, since JSON writes 1.0 as 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from serving.schema.kinds import NULL, Element, objects
from serving.schema.numeric import Number
from serving.schema.texts import Binary, Datetime, Text
from serving.values import Array


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value as it stands (MLflow's AnyType, and object tensors)."""

    name: str = "any value"

    @property
    def datatype(self) -> str:
        """The Open Inference Protocol's name."""
        return "BYTES"

    def from_list(self, values: Sequence[Any], field: str) -> Array:  # noqa: ARG002  the Element protocol
        """The values in an object array."""
        return objects(values)

    def from_array(self, array: Array, field: str) -> Array:  # noqa: ARG002  the Element protocol
        """The same array, its elements as Python objects."""
        return array.astype(object, copy=False)


_FLOATS: Final[frozenset[type]] = frozenset({int, float, NULL})
_INTEGERS: Final[frozenset[type]] = frozenset({int})
_BOOLEANS: Final[frozenset[type]] = frozenset({bool})
_KINDS_BY_DTYPE: Final[dict[str, frozenset[type]]] = {"f": _FLOATS, "i": _INTEGERS, "u": _INTEGERS, "b": _BOOLEANS}

COLUMN_TYPES: Final[dict[str, Element]] = {
    "boolean": Number("boolean", np.dtype("bool"), _BOOLEANS),
    "integer": Number("integer", np.dtype("int32"), _INTEGERS),
    "long": Number("long", np.dtype("int64"), _INTEGERS),
    "float": Number("float", np.dtype("float32"), _FLOATS),
    "double": Number("double", np.dtype("float64"), _FLOATS),
    "string": Text(),
    "binary": Binary(),
    "datetime": Datetime(),
}
"""MLflow's names of column types."""


@cache
def tensor_element(dtype: np.dtype[Any]) -> Element:
    """The element of a tensor of `dtype`."""
    if dtype.kind in _KINDS_BY_DTYPE:
        return Number(dtype.name, dtype, _KINDS_BY_DTYPE[dtype.kind])
    if dtype.kind == "U":
        return Text("string", nullable=False)
    if dtype.kind == "S":
        return Binary("bytes")
    return Datetime() if dtype.kind == "M" else Anything("object")
