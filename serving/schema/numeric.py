"""Booleans, integers and floating point: numbers change their type only where no value changes."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from serving.schema.kinds import kinds_of
from serving.values import Array, oip_datatype
from stagedoor.errors import SchemaMismatch

_SAFE_SQUARES: Final = 1e76  # a sum of squares below this holds no number that float32 cannot
_SINGLE: Final = np.dtype(np.float32)
_FEW: Final = 1024


@dataclass(frozen=True, slots=True)
class Number:
    """Booleans, integers and floating point; `kinds` are the Python types that JSON may bring."""

    name: str
    dtype: np.dtype[Any]
    kinds: frozenset[type]

    @property
    def datatype(self) -> str:
        """The Open Inference Protocol's name."""
        return oip_datatype(self.dtype)

    def from_list(self, values: Sequence[Any], field: str) -> Array:
        """JSON values as a 1-d array; null is NaN in floating point."""
        if not self.kinds.issuperset(map(type, values)):
            wrong = [value for value in values if type(value) not in self.kinds]
            raise SchemaMismatch(field, self.name, kinds_of(wrong))
        if self.dtype is _SINGLE and len(values) <= _FEW:
            packed = _packed(values)
            if packed is not None:
                return packed
        try:
            if self.dtype.kind == "f":
                return _narrowed(np.array(values, np.float64), self, field)
            return np.array(values, self.dtype)
        except OverflowError:
            raise SchemaMismatch(field, self.name, "an integer out of its range") from None

    def from_array(self, array: Array, field: str) -> Array:
        """The array itself where it has the type; a copy where the conversion keeps every value."""
        if array.dtype == self.dtype:
            return array
        if array.dtype.kind == "O":
            return self.from_list(array.ravel().tolist(), field).reshape(array.shape)
        if array.dtype.kind not in _ACCEPTED_ARRAY_KINDS[self.dtype.kind]:
            raise SchemaMismatch(field, self.name, array.dtype.name if array.dtype.kind not in "US" else "string")
        if self.dtype.kind == "f":
            return _narrowed(array, self, field)
        return _within_range(array, self, field)


def _packed(values: Sequence[Any]) -> Array | None:
    """Numbers as float32, which takes half the time of going by float64; None where one is null or out of its range."""
    try:
        return np.ndarray(len(values), _SINGLE, _singles(len(values)).pack(*values))  # a third of what frombuffer takes
    except (struct.error, OverflowError):
        return None


@lru_cache(maxsize=_FEW)
def _singles(number: int) -> struct.Struct:
    return struct.Struct(f"={number}f")


_ACCEPTED_ARRAY_KINDS: Final = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}


def _narrowed(array: Array, element: Number, field: str) -> Array:
    if element.dtype.itemsize >= array.dtype.itemsize and array.dtype.kind == "f":
        return array.astype(element.dtype, copy=False)
    if element.dtype == np.float32 and array.dtype == np.float64 and float(np.vdot(array, array)) < _SAFE_SQUARES:
        return array.astype(np.float32)
    with np.errstate(over="ignore"):
        narrow = array.astype(element.dtype)
    if np.isinf(narrow).any() and not np.array_equal(np.isinf(narrow), np.isinf(array)):
        raise SchemaMismatch(field, element.name, "a number out of its range")
    return narrow


def _within_range(array: Array, element: Number, field: str) -> Array:
    limits = np.iinfo(element.dtype)
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise SchemaMismatch(field, element.name, "an integer out of its range")
    return array.astype(element.dtype)
