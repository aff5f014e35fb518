"""What a model refuses, found out by asking it: a graph would answer, and must not."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from serving.compiling.rows import DTYPES, FLOATS, UNSEEN, Rows, joined, take
from serving.compiling.subject import TEXT
from serving.loading.loaders.compiled import EVERY, Category, Refusals

Refuses = Callable[[Rows], bool]


@dataclass(frozen=True, slots=True)
class Edge:
    """Rows of which each has one special value, the first in the first column of `names`, and so on."""

    names: Sequence[str]
    rows: Rows


BEYOND_SINGLE: Final = 1e39
LARGEST_SINGLE: Final = 3.4028235677973362e38
"""The largest double that is not infinite once rounded to single precision."""
_LARGEST: Final = float(np.finfo(np.float64).max)
_MOST_ASKED: Final = 64
_NEVER: Final = 123_456.789
_NEVER_WHOLE: Final = 2_000_003
_WHOLE: Final = frozenset({"integer", "long"})


def find_refusals(
    refuses: Refuses, row: Rows, kinds: Mapping[str, str], known: Mapping[str, Sequence[Any]]
) -> dict[str, Refusals]:
    """The refusals of each column, or of EVERY one where all are alike. `row` is one that the model answers.

    Of more than 64 columns of one type without categories some are asked, and speak for the others if they agree.
    """
    names = list(kinds)
    if len(names) > _MOST_ASKED and not known and len(set(kinds.values())) == 1:
        few = _find(refuses, row, {name: kinds[name] for name in (*names[:: len(names) // 16], names[-1])}, known)
        if len(set(few.values())) == 1:
            return _shortened(few)
    return _shortened(_find(refuses, row, kinds, known))


def edges(kinds: Mapping[str, str], row: Rows) -> list[Edge]:
    """Special values: NaN, infinities, too large for single precision, null, unseen, zero; of 64 columns at most."""
    names = list(kinds)[:_MOST_ASKED]
    values = {repr(value): value for name in names for value in _special(kinds[name])}
    return [
        Edge(having, joined([_with(row, name, value) for name in having]))
        for shown, value in values.items()
        if (having := [name for name in names if shown in map(repr, _special(kinds[name]))])
    ]


def _find(refuses: Refuses, row: Rows, kinds: Mapping[str, str], known: Mapping[str, Sequence[Any]]) -> dict[str, Refusals]:
    def refusing(value: Any, names: Collection[str]) -> frozenset[str]:  # noqa: ANN401  a value of the columns
        rows = [_with(row, name, value) for name in names]
        if not rows or not refuses(joined(rows)):
            return frozenset()
        return frozenset(name for name, one in zip(names, rows, strict=True) if refuses(one))

    texts = [name for name, kind in kinds.items() if kind == TEXT]
    floats = [name for name, kind in kinds.items() if kind in FLOATS]
    whole = [name for name, kind in kinds.items() if kind in _WHOLE]
    infinite = refusing(float("inf"), floats)
    single = refusing(BEYOND_SINGLE, [name for name in floats if name in infinite and kinds[name] == "double"])
    missing, null = refusing(float("nan"), floats), refusing(None, texts)
    unseen = (
        refusing(UNSEEN, [name for name in texts if name in known])
        | refusing(_NEVER, [name for name in floats if name in known])
        | refusing(_NEVER_WHOLE, [name for name in whole if name in known])
    )
    return {
        name: Refusals(
            nan=name in missing,
            largest=LARGEST_SINGLE if name in single else _LARGEST if name in infinite else None,
            null=name in null,
            known=_only(known[name]) if name in unseen else None,
        )
        for name in kinds
    }


def _shortened(found: dict[str, Refusals]) -> dict[str, Refusals]:
    alike = set(found.values())
    if len(alike) > 1:
        return {name: rules for name, rules in found.items() if rules != Refusals()}
    only = alike.pop()
    return {EVERY: only} if only != Refusals() else {}


def _special(kind: str) -> list[Any]:
    if kind == TEXT:
        return [None, UNSEEN, ""]
    if kind in FLOATS:
        large = [BEYOND_SINGLE] if kind == "double" else []
        return [float("nan"), float("inf"), float("-inf"), *large, 0.0, -0.0]
    return [] if kind == "boolean" else [0, _NEVER_WHOLE]


def _only(known: Sequence[Any]) -> frozenset[Category]:
    return frozenset(value for value in known if isinstance(value, str | int | float))


def _with(row: Rows, name: str, value: Any) -> Rows:  # noqa: ANN401  a value of the column
    changed = take(row, slice(0, 1))
    column = np.empty(1, DTYPES["double"] if isinstance(value, float) and row[name].dtype.kind != "f" else row[name].dtype)
    column[0] = value
    return {**changed, name: column}
