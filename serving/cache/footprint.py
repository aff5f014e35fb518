"""An answer of its own: nobody else holds what is kept, and its size in memory is known."""

import copy
import sys
from typing import Any, Final

import numpy as np

from serving.values import Array, Outputs

ENTRY_BYTES: Final = 544
"""What an answer takes beside its arrays' data: entry, digest, places in two dictionaries. Measured by a test."""

_ARRAY_BYTES: Final = 168
"""An array without its data, with its place in the answer's dictionary. Measured by the same test."""

_LEAVES: Final = frozenset({str, bytes, int, float, bool, type(None)})


def own_copy(outputs: Outputs) -> tuple[Outputs, int]:
    """`outputs` with data of its own that cannot be written to, and the bytes that this takes.

    Always a copy: the array may be a view of a whole batch, or a buffer that the model writes to again. Raises whatever
    copying an object of the model's own type raises.
    """
    size = ENTRY_BYTES
    arrays: dict[str, Array] = {}
    for name, array in outputs.arrays.items():
        kept = array.copy()
        size += _ARRAY_BYTES + kept.nbytes
        if kept.dtype == object:
            kept, more = _own_objects(kept)
            size += more
        kept.flags.writeable = False
        arrays[name] = kept
    value = copy.deepcopy(outputs.value)
    return Outputs(outputs.kind, arrays, value), size + deep_size(value)


def _own_objects(array: Array) -> tuple[Array, int]:
    values = array.ravel().tolist()
    if not set(map(type, values)) <= _LEAVES:
        array = copy.deepcopy(array)
        values = array.ravel().tolist()
    return array, deep_size(values) - sys.getsizeof(values)


def deep_size(value: Any) -> int:  # noqa: ANN401  whatever a model answers
    """The bytes of a value with all that it holds, each object once."""
    seen: set[int] = set()
    size = 0
    pending = [value]
    for item in pending:  # grows while it is read
        if item is None or isinstance(item, bool) or id(item) in seen:
            continue
        seen.add(id(item))
        size += sys.getsizeof(item)
        if isinstance(item, dict):
            pending += [*item, *item.values()]
        elif isinstance(item, (list, tuple, set, frozenset)):
            pending += item
        elif isinstance(item, np.ndarray):
            size += 0 if item.base is None else item.nbytes
            pending += item.ravel().tolist() if item.dtype == object else []
    return size
