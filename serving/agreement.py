"""Whether two versions gave the same answer to the same request."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from serving.values import Array, Outputs

RELATIVE: Final = 1e-3
ABSOLUTE: Final = 1e-6
"""Two numbers agree when they differ by no more than ABSOLUTE + RELATIVE times the one that was sent."""


def agree(sent: Outputs, other: Outputs) -> bool:
    """Labels, texts and whole numbers alike, other numbers within the tolerance, shapes and names the same."""
    if sent.kind == "json" or other.kind == "json":
        return sent.kind == other.kind and _same_json(sent.value, other.value)
    if sent.arrays.keys() != other.arrays.keys():
        return False
    return all(_same_array(array, other.arrays[name]) for name, array in sent.arrays.items())


def _same_array(sent: Array, other: Array) -> bool:
    if sent.shape != other.shape:
        return False
    if sent.dtype.kind in "fc" and other.dtype.kind in "fciub":
        return bool(np.allclose(other, sent, RELATIVE, ABSOLUTE))
    if sent.dtype.kind == "O" or other.dtype.kind == "O":
        return _same_json(sent.tolist(), other.tolist())
    return bool(np.array_equal(sent, other))


def _same_json(sent: Any, other: Any) -> bool:  # noqa: ANN401  any JSON value
    if isinstance(sent, np.ndarray | np.generic) or isinstance(other, np.ndarray | np.generic):
        return _same_json(_listed(sent), _listed(other))
    if isinstance(sent, Mapping) and isinstance(other, Mapping):
        return sent.keys() == other.keys() and all(_same_json(value, other[key]) for key, value in sent.items())
    if isinstance(sent, list | tuple) and isinstance(other, list | tuple):
        return len(sent) == len(other) and all(map(_same_json, sent, other))
    if isinstance(sent, float) and isinstance(other, float | int) and not isinstance(other, bool):
        return math.isclose(sent, other) or abs(other - sent) <= ABSOLUTE + RELATIVE * abs(sent)
    return bool(sent == other)


def _listed(value: Any) -> Any:  # noqa: ANN401  any JSON value
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
