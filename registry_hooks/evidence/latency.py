"""Quantiles of a histogram of buckets. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

ENOUGH: Final = 100
"""Observations below which a 99th percentile is one request's chance."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Cumulative counts by upper bound in seconds, rising, the last one infinite; and the sum of all seconds."""

    bounds: tuple[tuple[float, float], ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(cls, counts: Mapping[float, float], seconds: float) -> Self:
        """Order them. Raises ValueError unless the counts rise with the bounds up to an infinite one."""
        bounds = tuple(sorted(counts.items()))
        if not bounds or bounds[-1][0] != math.inf or any(math.isnan(bound) for bound, _ in bounds):
            raise ValueError("a histogram ends with the bucket +Inf")
        if any(later < earlier for (_, earlier), (_, later) in pairwise(bounds)):
            raise ValueError("a histogram's buckets are cumulative")
        return cls(bounds, seconds)

    @property
    def count(self) -> float:
        """All observations."""
        return self.bounds[-1][1] if self.bounds else 0.0

    @property
    def mean(self) -> float:
        """Seconds on average; 0 without observations."""
        return self.seconds / self.count if self.count else 0.0


def merge(several: Iterable[Buckets]) -> Buckets:
    """Add up the histograms of several gateways. Raises ValueError where their buckets differ so that nothing fits."""
    counts: dict[float, float] = {}
    seconds = 0.0
    for buckets in several:
        for bound, count in buckets.bounds:
            counts[bound] = counts.get(bound, 0.0) + count
        seconds += buckets.seconds
    return Buckets.of(counts, seconds) if counts else Buckets()


def quantile(buckets: Buckets, share: float) -> float | None:
    """Linear within the bucket, as PromQL's `histogram_quantile` has it; beyond the last finite bound, that bound.

    None for fewer than ENOUGH observations, or where no bucket is finite.
    """
    if buckets.count < ENOUGH:
        return None
    rank = share * buckets.count
    below_bound, below_count = 0.0, 0.0
    for bound, count in buckets.bounds:
        if count >= rank:
            if math.isinf(bound):
                break
            return below_bound + (bound - below_bound) * (rank - below_count) / (count - below_count)
        below_bound, below_count = bound, count
    return below_bound or None
