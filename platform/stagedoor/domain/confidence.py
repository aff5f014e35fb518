"""Statements about rates that hold at every moment at once, however often one looks: ratios of arms, differences of rates.

Both rest on one construction: a mixture of likelihoods over a prior, divided by the likelihood of the hypothesis, is a
non-negative martingale under it, and by Ville's inequality exceeds 1/alpha with probability at most alpha (Robbins 1970,
Statistical methods related to the law of the iterated logarithm). For two arms see Turner and Gruenwald 2023, Exact
anytime-valid confidence intervals for contingency tables and beyond.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

CONCENTRATION: Final = 1000.0
"""How near to the stated shares the prior of the ratio's alternative lies: it looks for small deviations."""

RATIO_ALPHA: Final = 0.001
"""The chance of a false alarm about the ratio of arms, for ever."""

_HUGE: Final = 690.0
_ROUNDS: Final = 80


def finite_exp(log: float) -> float:
    """exp(log), held below 1e300 so that it stays a number in JSON."""
    return math.exp(min(log, _HUGE))


def log_ratio(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Log e-value against `counts` having been drawn with `shares`, which are taken relative to their sum.

    Dirichlet-multinomial over multinomial. A share of 0 allows no counts: a single one is infinite evidence.
    """
    whole = sum(shares)
    log = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        part = share / whole
        if part > 0:
            prior = CONCENTRATION * part
            log += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(part)
        elif count:
            return math.inf
    return log


def ratio_alarm(counts: Mapping[str, int], shares: Mapping[str, float], alpha: float = RATIO_ALPHA) -> tuple[float, bool]:
    """Whether the arms got other shares than they were meant to: the e-value, and whether it reached 1/alpha.

    `counts` are units assigned by arm (an arm that is absent got none), `shares` the shares of all arms in any unit. The same
    test says whether predictions drift over frozen bins. Raises ValueError if `counts` names an arm that has no share at all.
    """
    if not counts.keys() <= shares.keys():
        raise ValueError("an arm was counted that the shares do not name")
    arms = tuple(shares)
    value = finite_exp(log_ratio([counts.get(arm, 0) for arm in arms], [shares[arm] for arm in arms]))
    return value, value >= 1 / alpha


def difference_interval(a: tuple[int, int], b: tuple[int, int], alpha: float = 0.05) -> tuple[float, float]:
    """Where the rate of `a` minus the rate of `b` lies: with probability 1 - alpha at every moment at once.

    Each of them is (n, failures), of arms whose units are drawn independently. The pairs of rates that a product of two
    beta-binomial mixtures does not reject form a convex set; its outermost differences are the interval's ends.
    """
    return -_largest(b, a, alpha), _largest(a, b, alpha)


def _largest(a: tuple[int, int], b: tuple[int, int], alpha: float) -> float:
    """The largest difference p - q that is not rejected, for rates p of `a` and q of `b`.

    At the edge of the set both mixtures have the same slope, p's upwards and q's downwards: one bisection over that slope.
    """
    budget = -math.log(alpha)
    mirrored = (b[0], b[0] - b[1])
    low, high = -30.0, 60.0
    for _ in range(_ROUNDS):
        slope = math.exp((low + high) / 2)
        inside = _against(a, _at_slope(a, slope)) + _against(mirrored, _at_slope(mirrored, slope)) < budget
        low, high = ((low + high) / 2, high) if inside else (low, (low + high) / 2)
    slope = math.exp(high)
    return _at_slope(a, slope) + _at_slope(mirrored, slope) - 1


def _at_slope(arm: tuple[int, int], slope: float) -> float:
    """The rate above the observed one at which the log mixture ratio rises by `slope` for each unit of rate."""
    n, failures = arm
    root = math.sqrt((slope - n) ** 2 + 4 * slope * failures)
    if slope >= n:
        return ((slope - n) + root) / (2 * slope)
    return 2 * failures / ((n - slope) + root)


def _against(arm: tuple[int, int], rate: float) -> float:
    """Log e-value against `rate`: the beta(1/2, 1/2) mixture of likelihoods over the likelihood at `rate`."""
    n, failures = arm
    log = _log_beta(failures + 0.5, n - failures + 0.5) - _log_beta(0.5, 0.5)
    for count, chance in ((failures, rate), (n - failures, 1 - rate)):
        if count:
            log += math.inf if chance <= 0 else -count * math.log(chance)
    return log


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
