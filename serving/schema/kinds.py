"""Kinds of JSON values, object arrays, and what every element type answers."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import numpy as np

from serving.values import Array

NULL: Final = type(None)
_MAX_CHARACTERS: Final = 16 * 1024 * 1024
_KIND_NAMES: Final[dict[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "float",
    str: "string",
    bytes: "bytes",
    type(None): "null",
    list: "array",
    dict: "object",
}


def kind_of(value: object) -> str:
    """The kind of a JSON value in words, never the value."""
    return _KIND_NAMES.get(type(value), "another kind of value")


def kinds_of(values: Iterable[object]) -> str:
    """The kinds among `values` in words, sorted and joined."""
    return " and ".join(sorted({kind_of(value) for value in values}))


class Element(Protocol):
    """The type of one column's or tensor's values."""

    @property
    def name(self) -> str:
        """As the signature writes it."""

    @property
    def datatype(self) -> str:
        """The Open Inference Protocol's name."""

    def from_list(self, values: Sequence[Any], field: str) -> Array:
        """JSON values as a 1-d array of the same length. Raises SchemaMismatch naming `field`."""

    def from_array(self, array: Array, field: str) -> Array:
        """An array of any shape with this element's type. Raises SchemaMismatch naming `field`."""


def objects(values: Sequence[Any]) -> Array:
    """A 1-d object array; numpy never looks into lists among the values."""
    array: Array = np.empty(len(values), object)
    if {list, np.ndarray}.isdisjoint(map(type, values)):
        array[:] = values
    else:
        for place, value in enumerate(values):
            array[place] = value
    return array


def strings(values: Sequence[str]) -> Array:
    """A 1-d array of numpy's string type, as MLflow gives; of objects where one long string would make it huge."""
    if values and len(values) * max(map(len, values)) > _MAX_CHARACTERS:
        return objects(values)
    return np.array(values, np.str_)


def natural(values: Sequence[Any]) -> Array:
    """The array that JSON values make by themselves, for models without a signature: 1-d, objects where nothing fits."""
    kinds = set(map(type, values))
    if kinds and kinds <= {bool}:
        return np.array(values, np.bool_)
    if kinds and kinds <= {int} and all(-(2**63) <= value < 2**63 for value in values):
        return np.array(values, np.int64)
    if kinds <= {int, float, NULL} and kinds != {NULL}:
        return np.array([math.nan if value is None else float(value) for value in values], np.float64)
    return objects(values)
