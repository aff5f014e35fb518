"""Whether two forms of a model answer alike: same kind and type, same labels, same numbers within tolerance, same refusals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from serving.compiling.refusals import Edge
from serving.compiling.rows import Rows, count_of, inputs_of, take
from serving.compiling.subject import Unsuited
from serving.schema import Signature
from serving.values import UNNAMED, Array, Inputs, Predictor

RTOL: Final = 1e-4
ATOL: Final = 1e-5
_HUGE: Final = 1e30


class Unequal(Exception):
    """The two forms answer differently; the sentence says where."""


@dataclass(slots=True)
class Tally:
    """What has been compared so far. `difference` is relative to numbers above 1, absolute below."""

    rows: int = 0
    difference: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A form of a model together with the signature before it. `tensor`: rows are the columns of one tensor."""

    predictor: Predictor
    signature: Signature
    tensor: bool

    def inputs(self, rows: Rows) -> Inputs:
        """What the predictor gets for `rows`."""
        return inputs_of(rows, self.signature, tensor=self.tensor)

    def ask(self, rows: Rows) -> Array:
        """Its answer. Raises what the model raises, and Unsuited where that is not one array with an entry for each row."""
        return self.answer(self.inputs(rows))

    def answer(self, inputs: Inputs) -> Array:
        """The same for inputs that are made already."""
        outputs = self.predictor.predict(inputs)
        if outputs.kind != "array":
            raise Unsuited("It does not answer by an array; log it so that predict returns one.")
        array = outputs.arrays[UNNAMED]
        if array.ndim not in {1, 2} or len(array) != inputs.rows:
            raise Unsuited("Its answers are not one value, or one row of values, for each row.")
        return array

    def refuses(self, rows: Rows) -> bool:
        """Whether it raises on `rows`, whatever it is."""
        try:
            self.ask(rows)
        except Exception:  # noqa: BLE001  every library refuses in its own way
            return True
        return False


def compare(native: Array, compiled: Array, tally: Tally, where: str) -> None:
    """Raise Unequal unless `compiled` is `native` in form and, within tolerance, in value. `where` names the rows."""
    if native.shape != compiled.shape or not _same_type(native, compiled):
        raise Unequal(f"on {where} the graph answers {_form(compiled)} and the model {_form(native)}")
    tally.rows += len(native)
    if native.dtype.kind != "f":
        wrong = int(np.sum(native != compiled))
        if wrong:
            raise Unequal(f"labels differ on {wrong} of {len(native)} {where}")
        return
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(compiled - native) / np.maximum(1.0, np.abs(native))
        near = np.isclose(compiled, native, rtol=RTOL, atol=ATOL, equal_nan=True)
    wrong = int(np.sum(~near.reshape(len(native), -1).all(axis=1)))
    finite = off[np.isfinite(off)]
    most = float(finite.max()) if finite.size else 0.0
    if wrong:
        raise Unequal(f"numbers differ on {wrong} of {len(native)} {where}, by up to {most:.0e}")
    tally.difference = max(tally.difference, most)


def compare_edges(native: Asked, compiled: Asked, found: Sequence[Edge], tally: Tally) -> None:
    """The same for rows with special values, which one or both may refuse."""
    for edge in found:
        if not native.refuses(edge.rows):
            _compare_edge(native, compiled, edge, tally)
            continue
        for place, name in enumerate(edge.names):  # one of them refused refuses them all
            one = Edge([name], take(edge.rows, slice(place, place + 1)))
            if not native.refuses(one.rows):
                _compare_edge(native, compiled, one, tally)
            elif not compiled.refuses(one.rows):
                raise Unequal(f"the graph takes a special value in the column {name}, unlike the model")


def _compare_edge(native: Asked, compiled: Asked, edge: Edge, tally: Tally) -> None:
    if compiled.refuses(edge.rows):
        raise Unequal(f"the graph refuses a special value in one of the columns {', '.join(edge.names)}, unlike the model")
    if not any(_is_huge(edge.rows[name]) for name in edge.names):
        compare(native.ask(edge.rows), compiled.ask(edge.rows), tally, "rows with special values")


def compare_singly(native: Asked, compiled: Asked, rows: Rows, tally: Tally) -> None:
    """One row at a time: some graphs and models take another way for one row than for many."""
    for place in range(count_of(rows)):
        row = take(rows, slice(place, place + 1))
        compare(native.ask(row), compiled.ask(row), tally, "rows asked one at a time")


def _is_huge(values: Array) -> bool:
    """Whether all that is left of a sum with it is rounding: such a value only tells whether it is refused."""
    return values.dtype.kind == "f" and bool((np.isfinite(values) & (np.abs(values) > _HUGE)).any())


def _same_type(native: Array, compiled: Array) -> bool:
    if native.dtype.kind in "UO":
        return compiled.dtype.kind in "UO"
    return native.dtype == compiled.dtype


def _form(array: Array) -> str:
    kind = "texts" if array.dtype.kind in "UO" else array.dtype.name
    return f"{kind} of shape {list(array.shape)}"
