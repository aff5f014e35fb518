"""Whether a model answers each row by itself, so that rows of several callers may be predicted with together."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from serving.agreement import agree
from serving.rows import cut, divide, join, kind_of
from serving.values import Array, Block, Inputs, Outputs, Predictor, TensorSpec

TOLERANCE: Final = 1e-4
HALF_TOLERANCE: Final = 1e-2
"""Of the largest number in an answer, the second for half precision: with more rows, sums are taken in another order."""

SLOWEST_SECONDS: Final = 1.0
"""What takes longer for a row is not tried: loading it takes long enough."""


def keeps_rows_apart(predictor: Predictor, example: Inputs) -> bool:
    """Try two unlike rows alone and together. `example` is one that the model takes.

    False where the model file fixes the number of rows, where there are no rows, where the answer has not one entry for each,
    and where what one row gets depends on the others, or on chance.
    """
    if not _leaves_rows_free(predictor) or kind_of(example) is None:
        return False
    try:
        return _is_kept_apart(predictor, example)
    except (Exception, SystemExit):  # noqa: BLE001  a model may raise anything; this one does not take several rows
        return False


def _leaves_rows_free(predictor: Predictor) -> bool:
    takes = all(spec.shape and spec.shape[0] == -1 for spec in predictor.inputs)
    return takes and all(_may_have_rows(spec) for spec in predictor.outputs)


def _may_have_rows(spec: TensorSpec) -> bool:
    """A shape without dimensions is most often one that the file leaves out; the trial tells."""
    return not spec.shape or spec.shape[0] == -1


def _is_kept_apart(predictor: Predictor, example: Inputs) -> bool:
    one = cut(example, 0, 1)
    first = predictor.predict(one)
    other, second = _another(predictor, example, one, first)
    shares = divide(predictor.predict(join([one, other, one])), (1, 1, 1))
    return shares is not None and all(map(_alike, shares, (first, second, first)))


def _another(predictor: Predictor, example: Inputs, one: Inputs, first: Outputs) -> tuple[Inputs, Outputs]:
    """A row unlike `one` with its answer: the example's next one, else one with other numbers; `one` itself if none will do."""
    if example.rows > 1:
        other = cut(example, 1, 2)
        return other, predictor.predict(other)
    other = _changed(one)
    try:
        return other, predictor.predict(other)
    except (Exception, SystemExit):  # noqa: BLE001  made-up values prove nothing against a model
        return one, first


def _changed(row: Inputs) -> Inputs:
    arrays = row.arrays
    if isinstance(arrays, Block):
        return row._replace(arrays=Block(_other_values(arrays.matrix), arrays.positions))
    return row._replace(arrays={name: _other_values(array) for name, array in arrays.items()})


def _other_values(array: Array) -> Array:
    """Other numbers of the same kind and about the same size; 0 and 1 for whole ones, which may count or name something."""
    other: Array = array
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            other = (array * 1.5 + 0.25).astype(array.dtype)
    elif array.dtype.kind in "iub":
        other = (array == 0).astype(array.dtype)
    return other


def _alike(one: Outputs, other: Outputs) -> bool:
    if one.kind != other.kind or list(one.arrays) != list(other.arrays):
        return False
    if one.kind == "json":
        return agree(one, other)
    return all(_alike_arrays(array, other.arrays[name]) for name, array in one.arrays.items())


def _alike_arrays(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return False
    if one.dtype != other.dtype and one.dtype.kind not in "US":  # texts are as wide as the widest of them
        return False
    if one.dtype.kind not in "fc":
        return agree(Outputs.of_array(one), Outputs.of_array(other))
    relative = HALF_TOLERANCE if one.dtype == np.float16 else TOLERANCE
    return bool(np.allclose(one, other, rtol=0.0, atol=relative * _largest((one, other)), equal_nan=True))


def _largest(arrays: Sequence[Array]) -> float:
    return max(float(np.max(np.abs(array), initial=0.0, where=np.isfinite(array))) for array in arrays)
