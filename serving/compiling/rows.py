"""Rows to compare two forms of a model on: plain ones, ones on thresholds, extreme ones, and ones between two answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from serving.compiling.subject import TEXT
from serving.schema import Signature
from serving.values import UNNAMED, Array, Inputs

Rows = dict[str, Array]
"""Columns of one length, in the order of the signature, each in its own type."""

DTYPES: Final[Mapping[str, type]] = {
    "boolean": np.bool_,
    "integer": np.int32,
    "long": np.int64,
    "float": np.float32,
    "double": np.float64,
    TEXT: np.object_,
}
FLOATS: Final = frozenset({"float", "double"})
UNSEEN: Final = "stagedoor: never seen"
_MAX_ROWS: Final = 100_000
_STEPS: Final = 130
_BESIDE: Final = 1e-6
"""How far rows on both sides of a smooth boundary lie from it, as a share of the way between two rows."""


@dataclass(frozen=True, slots=True)
class Sampler:
    """Makes up rows from what is known of each column.

    `kinds` are MLflow's types, `pools` values that matter, `chosen` the columns in which only those of the pool will do.
    """

    kinds: Mapping[str, str]
    pools: Mapping[str, Sequence[Any]]
    chosen: frozenset[str]
    chance: np.random.Generator

    def plain(self, count: int) -> Rows:
        """Values near the learned ones, on them, and a rounding step beside them."""
        return {name: self._column(name, kind, list(self.pools.get(name, ())), count) for name, kind in self.kinds.items()}

    def extreme(self, count: int) -> Rows:
        """The same with numbers of up to 1e12 times the magnitude; the first row is all zeros."""
        rows = self.plain(count)
        for name, kind in self.kinds.items():
            if name in self.chosen:
                continue
            if kind in FLOATS:
                factor = 10.0 ** self.chance.uniform(0, 12, count) * self.chance.choice([-1, 1], count)
                rows[name] = (rows[name] * factor).astype(DTYPES[kind])
            if kind != TEXT:
                rows[name][0] = 0
        return rows

    def _column(self, name: str, kind: str, pool: list[Any], count: int) -> Array:
        if kind == TEXT:
            texts = np.array([value for value in pool if isinstance(value, str)] or ["a", "b"], object)
            return texts[self.chance.integers(len(texts), size=count)]
        if name in self.chosen:
            return np.array(pool, DTYPES[kind])[self.chance.integers(len(pool), size=count)]
        if kind == "boolean":
            return self.chance.random(count) < 0.5  # noqa: PLR2004  a coin
        numbers = np.array([value for value in pool if not isinstance(value, str)], np.float64)
        values = self._numbers(numbers, count)
        if kind in FLOATS:
            return values.astype(DTYPES[kind])
        limits = np.iinfo(DTYPES[kind])
        return np.clip(np.rint(values), max(limits.min, -(2.0**53)), min(limits.max, 2.0**53)).astype(DTYPES[kind])

    def _numbers(self, pool: Array, count: int) -> Array:
        if not len(pool):
            return np.asarray(self.chance.normal(size=count) * 10.0 ** self.chance.uniform(-1, 2, count))
        spread = float(pool.std()) or abs(float(pool.mean())) or 1.0
        value = pool[self.chance.integers(len(pool), size=count)]
        near = value * (1 + 0.1 * self.chance.normal(size=count))
        wide = self.chance.normal(pool.mean(), spread, count)
        beside = np.nextafter(value, np.where(self.chance.random(count) < 0.5, np.inf, -np.inf))  # noqa: PLR2004  a coin
        return np.choose(self.chance.choice(5, count, p=[0.3, 0.1, 0.25, 0.3, 0.05]), [value, beside, near, wide, 0 * value])


def inputs_of(rows: Rows, signature: Signature, *, tensor: bool) -> Inputs:
    """`rows` as a request with them comes out of the signature check. `tensor`: they are the columns of the one tensor."""
    if tensor:
        return signature.form.tensors({UNNAMED: np.stack(list(rows.values()), axis=1)}, _MAX_ROWS)
    return signature.form.frame(rows, _MAX_ROWS)


def count_of(rows: Rows) -> int:
    """How many rows there are."""
    return len(next(iter(rows.values())))


def take(rows: Rows, places: Any) -> Rows:  # noqa: ANN401  whatever numpy takes as an index
    """Some of the rows."""
    return {name: column[places] for name, column in rows.items()}


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of all parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


Ask = Callable[[Rows], Array]
"""One value, or one row of values, for each row. Raises whatever the model raises."""


def boundaries(  # noqa: PLR0913, PLR0917  two ways to ask, two sets of rows, and how to read them
    ask: Ask, scores: Ask | None, rows: Rows, others: Rows, kinds: Mapping[str, str], tolerance: float
) -> Rows | None:
    """Rows between `rows` and `others` at which the answer changes, found by halving.

    Where the model's `scores` jump there (trees do), the two rows next to each other at the last bit are given. Where they do
    not, the answer turns on the last digits of a sum, which no two programs compute alike: then rows a millionth of the way
    beside it are. None where no answer changes.
    """
    floats = [name for name, kind in kinds.items() if kind in FLOATS]
    differ = _differ(ask(rows), ask({**rows, **{name: others[name] for name in floats}}))
    if not floats or not differ.any():
        return None
    low, start = take(rows, differ), take(rows, differ)
    high = {**low, **{name: others[name][differ] for name in floats}}
    end, before = high, ask(low)
    for _ in range(_STEPS):
        middle = {**low, **{name: _between(low[name], high[name]) for name in floats}}
        if all(((middle[name] == low[name]) | (middle[name] == high[name])).all() for name in floats):
            break
        same = ~_differ(ask(middle), before)
        low = {name: np.where(same, middle[name], low[name]) for name in low}
        high = {name: np.where(same, high[name], middle[name]) for name in high}
    jumps = np.zeros(count_of(low), bool) if scores is None else _apart(scores(low), scores(high), tolerance)
    beside = {name: _stepped(low[name], start[name], end[name], -_BESIDE) for name in floats}
    beyond = {name: _stepped(high[name], start[name], end[name], _BESIDE) for name in floats}
    smooth = [take({**low, **beside}, ~jumps), take({**high, **beyond}, ~jumps)]
    return joined([take(low, jumps), take(high, jumps), *smooth])


def _between(low: Array, high: Array) -> Array:
    return (low + (high - low) / 2).astype(low.dtype)


def _stepped(at: Array, start: Array, end: Array, share: float) -> Array:
    return (at + share * (end - start)).astype(at.dtype)


def _differ(one: Array, other: Array) -> Array:
    unequal = one != other
    return np.asarray(unequal.reshape(len(unequal), -1).any(axis=1))


def _apart(one: Array, other: Array, tolerance: float) -> Array:
    near = np.isclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
    return np.asarray(~near.reshape(len(near), -1).all(axis=1))
