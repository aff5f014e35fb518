"""The values that codecs, signature checks and loaders pass to each other. They know no protocol and no framework."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]

UNNAMED: Final = ""
"""The key of the one tensor of a signature that gives it no name."""

NO_PARAMS: Final[Mapping[str, Any]] = MappingProxyType({})


class Block(Mapping[str, Array]):
    """Columns of one type, kept as the single `(rows, columns)` array they were read into.

    Reads like any mapping of 1-d columns; a loader that wants a matrix takes `matrix` and stacks nothing.
    `positions` maps each column's name to its place, in order.
    """

    __slots__ = ("matrix", "positions")

    def __init__(self, matrix: Array, positions: Mapping[str, int]) -> None:
        self.matrix = matrix
        self.positions = positions

    def __getitem__(self, name: str) -> Array:
        column: Array = self.matrix[:, self.positions[name]]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.positions)

    def __len__(self) -> int:
        return len(self.positions)


NO_ARRAYS: Final[Arrays] = MappingProxyType({})


class Inputs(NamedTuple):
    """Data that has passed the signature check.

    `table`: a column signature, or data that came as a frame; `arrays` holds one 1-d array per column, in the
    signature's order, all of length `rows` (object arrays for strings, bytes and nested values); it is a `Block` where
    all columns are of one number type. Optional columns that were not sent are absent.
    `tensors`: one n-d array per tensor, or a single one under UNNAMED; `rows` is the common first dimension (1 for 0-d).
    """

    kind: Literal["table", "tensors"]
    arrays: Arrays
    rows: int
    params: Mapping[str, Any] = NO_PARAMS


class Outputs(NamedTuple):
    """What a model answered.

    `array`: one unnamed array. `named`: arrays by name, not necessarily of one length. `table`: columns of one length,
    rendered as records by the MLflow protocol. `json`: anything else, JSON-able as it stands (in `value`).
    """

    kind: Literal["array", "named", "table", "json"]
    arrays: Arrays = NO_ARRAYS
    value: Any = None

    @classmethod
    def of_array(cls, array: Array) -> "Outputs":
        """One unnamed array."""
        return cls("array", {UNNAMED: array})


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output for people and for `/v2` metadata. `datatype` is the Open Inference Protocol's; -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Predictor(Protocol):
    """A loaded version. `predict` is safe to call from several threads at once."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the model file itself says it takes; empty where it says nothing."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the model file itself says it gives; empty where it says nothing."""

    def predict(self, inputs: Inputs) -> Outputs:
        """Run the model. Raises whatever the framework raises; the caller charges it to the version."""


def rows_of(array: Array) -> int:
    """The number of rows: the first dimension, or 1 for a scalar."""
    return int(array.shape[0]) if array.ndim else 1


_TO_OIP: Final = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
OIP_TO_NUMPY: Final = {oip: np.dtype(name) for name, oip in _TO_OIP.items()}


@cache  # numpy makes up the name anew each time
def oip_datatype(dtype: np.dtype[Any]) -> str:
    """The Open Inference Protocol's name of a numpy type; strings, bytes and objects are BYTES."""
    return _TO_OIP.get(dtype.name, "BYTES")
