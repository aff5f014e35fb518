"""Rows of several requests put together for one prediction, and the answer taken apart again."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np

from serving.values import Array, Block, Inputs, Outputs


def kind_of(inputs: Inputs) -> Hashable | None:
    """What two inputs must have in common to be put together; None where there are no rows to put together.

    That is: table or tensors, names, types, all dimensions but the first, and params. Comparable only between inputs that
    are still in use: columns of a `Block` count as the same if they are the same object, the signature's own.
    """
    rows, arrays = inputs.rows, inputs.arrays
    params = repr(inputs.params) if inputs.params else ""
    if isinstance(arrays, Block):
        matrix = arrays.matrix
        return ("block", id(arrays.positions), matrix.dtype, params) if 0 < rows == len(matrix) else None
    if rows < 1 or not arrays:
        return None
    kind: list[Hashable] = [inputs.kind, params]
    for name, array in arrays.items():
        shape = array.shape
        if not shape or shape[0] != rows:
            return None
        kind += (name, array.dtype, shape[1:])
    return tuple(kind)


def join(parts: Sequence[Inputs]) -> Inputs:
    """`parts`, all of one kind that is not None, in one: the rows of the first, then those of the second, and so on."""
    first = parts[0]
    rows = sum([part.rows for part in parts])
    arrays = first.arrays
    if isinstance(arrays, Block):
        matrix = np.concatenate([part.arrays.matrix for part in parts if isinstance(part.arrays, Block)])
        return Inputs(first.kind, Block(matrix, arrays.positions), rows, first.params)
    joined = {name: np.concatenate([part.arrays[name] for part in parts]) for name in arrays}
    return Inputs(first.kind, joined, rows, first.params)


def cut(inputs: Inputs, start: int, stop: int) -> Inputs:
    """The rows from `start` to before `stop`, as views. What has another first dimension than `rows` stays whole."""
    arrays, rows = inputs.arrays, inputs.rows
    if isinstance(arrays, Block):
        return Inputs(inputs.kind, Block(arrays.matrix[start:stop], arrays.positions), stop - start, inputs.params)
    cuts = {name: array[start:stop] if array.ndim and len(array) == rows else array for name, array in arrays.items()}
    return Inputs(inputs.kind, cuts, stop - start, inputs.params)


def divide(outputs: Outputs, sizes: Sequence[int]) -> list[Outputs] | None:
    """The share of each of `sizes` rows, as views; None where the answer has not one entry for each row.

    Of what is not made of arrays only a list of objects can be told apart: of anything else a model's answer to fewer rows
    might have become an array.
    """
    total = sum(sizes)
    if outputs.kind == "json":
        value = outputs.value
        if type(value) is not list or len(value) != total or not all(isinstance(item, Mapping) for item in value):
            return None
        return [Outputs("json", value=value[start:end]) for start, end in _bounds(sizes)]
    if not outputs.arrays or any(not array.ndim or len(array) != total for array in outputs.arrays.values()):
        return None
    kind = outputs.kind
    if len(outputs.arrays) == 1:
        name, array = next(iter(outputs.arrays.items()))
        return [Outputs(kind, {name: array[start:end]}) for start, end in _bounds(sizes)]
    items: list[tuple[str, Array]] = list(outputs.arrays.items())
    return [Outputs(kind, {name: array[start:end] for name, array in items}) for start, end in _bounds(sizes)]


def _bounds(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for size in sizes:
        yield start, start + size
        start += size
