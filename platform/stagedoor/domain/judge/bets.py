"""Betting on counts: what one outcome pays, how much to stake, and the wealth that follows.

With A = 1 if the candidate was chosen (known probability w), Y = 1 if the outcome was bad, and H0: E[Y | candidate] <=
rho * E[Y | stable] + delta, the payoff X - delta = Y*A/w - rho*Y*(1-A)/(1-w) - delta has no positive mean. Wealth is the
product of (1 + stake * payoff); it needs but the numbers of each kind of outcome. A negative stake bets on the candidate.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

DESIGNS: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Ratios of badness to the allowed one that the bets are made for. Each keeps its own wealth over all epochs."""

PRIOR: Final = tuple(weight / 11 for weight in (1, 2, 2, 2, 2, 1, 1))
"""How the wealth to begin with is divided among the designs. Any division keeps the bound; this one serves what is met most,
rates that grow by half to five times, a few per cent sooner than equal parts do."""

PROMOTE_STAKES: Final = tuple(0.01 * 99 ** (step / 7) for step in range(8))
"""The stakes on the candidate, as parts of what may be staked at most: 0.01 to 0.99, evenly in their logarithm."""

PROMOTE_PRIOR: Final = (1 / 8,) * 8

_LEAST_RATE: Final = 1e-6
_WORST_RATE: Final = 0.9
_LARGEST_STAKE: Final = 1e6
_SHORT_OF_RUIN: Final = 1 - 1e-9
_HALVINGS: Final = 60


class Tally(NamedTuple):
    """How many outcomes of each kind: bad ones of the candidate, bad ones of the stable arm, and good ones of either."""

    bad: int
    stable_bad: int
    good: int


class Payoffs(NamedTuple):
    """What one outcome of each kind pays for each unit staked against the candidate."""

    bad: float
    stable_bad: float
    good: float


class Chances(NamedTuple):
    """How probable each kind of outcome is taken to be, for choosing a stake. Wrong ones cost power, never the bound."""

    bad: float
    stable_bad: float
    good: float


def payoffs(share: float, rho: float, delta: float) -> Payoffs:
    """Two arms; the candidate was chosen with probability `share`, above 0 and below 1."""
    return Payoffs(1 / share - delta, -rho / (1 - share) - delta, -delta)


def payoffs_alone(bound: float) -> Payoffs:
    """One arm, whose bad share is held against `bound`, below 1."""
    return Payoffs(1 - bound, -bound, -bound)


@lru_cache(maxsize=4096)
def stakes(share: float, base: float, rho: float, delta: float) -> tuple[float, ...]:
    """For each design, the stake that makes wealth grow fastest if it is right. `base`: the stable arm's rate, known before."""
    base = min(max(base, _LEAST_RATE), _WORST_RATE)
    pays = payoffs(share, rho, delta)
    found = []
    for ratio in DESIGNS:
        worse = min(ratio * (rho * base + delta), _WORST_RATE)
        bad, stable_bad = share * worse, (1 - share) * base
        found.append(_fastest(Chances(bad, stable_bad, 1 - bad - stable_bad), pays))
    return tuple(found)


@lru_cache(maxsize=1024)
def stakes_alone(bound: float) -> tuple[float, ...]:
    """The same for one arm whose bad share is held against `bound`."""
    pays = payoffs_alone(bound)
    worse = (min(ratio * max(bound, _LEAST_RATE), _WORST_RATE) for ratio in DESIGNS)
    return tuple(_fastest(Chances(bad, 0.0, 1 - bad), pays) for bad in worse)


def promote_stakes(pays: Payoffs) -> tuple[float, ...]:
    """The stakes on the candidate, below zero."""
    return tuple(-part / pays.bad for part in PROMOTE_STAKES)


def log_wealth(tally: Tally, pays: Payoffs, all_stakes: Iterable[float]) -> tuple[float, ...]:
    """By how much each stake's log wealth has grown over these outcomes."""
    kinds = tuple(zip(tally, pays, strict=True))
    return tuple(sum(count * math.log1p(stake * pay) for count, pay in kinds if count) for stake in all_stakes)


def mixed(logs: Sequence[float], weights: Sequence[float]) -> float:
    """Log of the weighted mean of exp(logs)."""
    top = max(logs)
    return top + math.log(sum(weight * math.exp(log - top) for weight, log in zip(weights, logs, strict=True)))


def _fastest(chances: Chances, pays: Payoffs) -> float:
    """The stake with the greatest expected log growth: where its slope, which only falls, crosses zero."""
    worst = -min(pays)
    low, high = 0.0, min(_SHORT_OF_RUIN / worst, _LARGEST_STAKE) if worst > 0 else _LARGEST_STAKE
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slope = sum(chance * pay / (1 + middle * pay) for chance, pay in zip(chances, pays, strict=True))
        low, high = (middle, high) if slope > 0 else (low, middle)
    return low
