"""What a model refuses, found out by asking it: a graph would answer, and must not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from serving.compiling.rows import DTYPES, FLOATS, UNSEEN, Rows, take
from serving.compiling.subject import TEXT
from serving.loading.loaders.compiled import EVERY, Category, Refusals

Refuses = Callable[[Rows], bool]

BEYOND_SINGLE: Final = 1e39
LARGEST_SINGLE: Final = 3.4028235677973362e38
"""The largest double that is not infinite once rounded to single precision."""
_LARGEST: Final = float(np.finfo(np.float64).max)
_MOST_ASKED: Final = 64
_NEVER: Final = 123_456.789
_WHOLE: Final = frozenset({"integer", "long"})


def find_refusals(
    refuses: Refuses, row: Rows, kinds: Mapping[str, str], known: Mapping[str, Sequence[Any]]
) -> dict[str, Refusals]:
    """The refusals of each column, or of EVERY one where all are alike. `row` is one that the model answers.

    Of more than 64 columns without categories the first, the last and some between are asked, and speak for the others.
    """
    names = list(kinds)
    if len(names) > _MOST_ASKED and not known and len(set(kinds.values())) == 1:
        names = names[:: len(names) // 16] + names[-1:]
    found = {name: _of_column(refuses, row, name, kinds[name], known.get(name)) for name in names}
    alike = set(found.values())
    if len(alike) == 1 and TEXT not in kinds.values():
        only = alike.pop()
        return {EVERY: only} if only != Refusals() else {}
    return {name: rules for name, rules in found.items() if rules != Refusals()}


def edges(kinds: Mapping[str, str], row: Rows) -> list[tuple[str, Rows]]:
    """One row for each special value of each column: NaN, infinities, too large for single precision, null, unseen."""
    names = list(kinds)[:_MOST_ASKED]
    return [(name, _with(row, name, value)) for name in names for value in _special(kinds[name])]


def _special(kind: str) -> list[Any]:
    if kind == TEXT:
        return [None, UNSEEN, ""]
    if kind in FLOATS:
        large = [BEYOND_SINGLE] if kind == "double" else []
        return [float("nan"), float("inf"), float("-inf"), *large, 0.0, -0.0]
    return [] if kind == "boolean" else [0, 2_000_003]


def _of_column(refuses: Refuses, row: Rows, name: str, kind: str, known: Sequence[Any] | None) -> Refusals:
    def no(value: Any) -> bool:  # noqa: ANN401  a value of the column
        return refuses(_with(row, name, value))

    if kind == TEXT:
        return Refusals(null=no(None), known=_only(known) if known and no(UNSEEN) else None)
    if kind in FLOATS:
        largest = None
        if no(float("inf")):
            largest = LARGEST_SINGLE if kind == "double" and no(BEYOND_SINGLE) else _LARGEST
        only = _only(known) if known and no(_NEVER) else None
        return Refusals(nan=no(float("nan")), largest=largest, known=only)
    if kind in _WHOLE and known and no(2_000_003):
        return Refusals(known=_only(known))
    return Refusals()


def _only(known: Sequence[Any]) -> frozenset[Category]:
    return frozenset(value for value in known if isinstance(value, str | int | float))


def _with(row: Rows, name: str, value: Any) -> Rows:  # noqa: ANN401  a value of the column
    changed = take(row, slice(0, 1))
    column = np.empty(1, DTYPES["double"] if isinstance(value, float) and row[name].dtype.kind != "f" else row[name].dtype)
    column[0] = value
    return {**changed, name: column}
