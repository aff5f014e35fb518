"""The metric objects of the request path. Labels come from the snapshot and from code tables, never from a caller."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from stagedoor import names

BUCKETS: Final = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

ASSIGNED: Final = Counter(
    names.METRIC_ASSIGNED.removesuffix("_total"),
    "Requests given to a version, counted before it predicts. `epoch` is empty where they are no evidence of a rollout.",
    ["model", "version", "arm", "epoch"],
)
PREDICTIONS: Final = Counter(
    names.METRIC_PREDICTIONS.removesuffix("_total"),
    "Requests by what came of them; model_error, invalid_output and timeout are the version's doing.",
    ["model", "version", "arm", "epoch", "outcome"],
)
SLOW: Final = Counter(
    names.METRIC_SLOW.removesuffix("_total"),
    "Answers and failures of a version that took longer than the route allows, and all its timeouts.",
    ["model", "version", "arm", "epoch"],
)
USERS: Final = Counter(
    names.METRIC_USERS.removesuffix("_total"),
    "First outcome of each sticky caller in an experiment, ok or failed. Few are left out: their hash met another's.",
    ["model", "version", "arm", "epoch", "outcome"],
)
SHADOW: Final = Counter(
    names.METRIC_SHADOW.removesuffix("_total"),
    "Copies of requests given to a mirrored version, by how its answer compares with the one that was sent.",
    ["model", "version", "epoch", "outcome"],
)
SHIELDED: Final = Counter(
    names.METRIC_SHIELDED.removesuffix("_total"),
    "Requests that another version answered in the place of this one, by what this one came to.",
    ["model", "version", "outcome"],
)
CACHE: Final = Counter(
    names.METRIC_CACHE.removesuffix("_total"),
    "Requests to versions whose answers are kept: hit, miss, or joined with another request's.",
    ["model", "version", "result"],
)
CACHE_BYTES: Final = Gauge(
    names.METRIC_CACHE_BYTES,
    "Bytes of kept answers in the memory of all workers.",
    ["model"],
    multiprocess_mode="livesum",
)
ERRORS: Final = Counter(
    names.METRIC_ERRORS.removesuffix("_total"),
    "Predictions that did not succeed, by problem code.",
    ["model", "version", "code"],
)
DURATION: Final = Histogram(
    names.METRIC_DURATION,
    "Seconds from a request's headers to its answer.",
    ["model", "version"],
    buckets=BUCKETS,
)
REJECTED: Final = Counter(
    names.METRIC_REJECTED.removesuffix("_total"),
    "Requests refused before any version was chosen, by problem code.",
    ["code"],
)
LOST_RECORDS: Final = Counter(
    "stagedoor_lost_records",
    "Request records dropped because the log could not be written fast enough.",
)


@lru_cache(maxsize=4096)
def assigned(model: str, version: str, arm: str, epoch: str) -> Counter:
    """Requests given to a version: the counter, looked up once."""
    return ASSIGNED.labels(model, version, arm, epoch)


@lru_cache(maxsize=4096)
def predictions(model: str, version: str, arm: str, epoch: str, outcome: str) -> Counter:
    """Requests by what came of them: the counter, looked up once."""
    return PREDICTIONS.labels(model, version, arm, epoch, outcome)


def observe(model: str, version: str, seconds: Sequence[float]) -> None:
    """Add requests of one version to its histogram: as `Histogram.observe` for each, with one write for each bucket."""
    histogram = _duration(model, version)
    histogram._sum.inc(sum(seconds))  # noqa: SLF001  there is no public way to add more than one
    places: dict[int, int] = {}
    for second in seconds:
        place = bisect_left(BUCKETS, second)
        places[place] = places.get(place, 0) + 1
    for bucket, number in places.items():
        histogram._buckets[bucket].inc(number)  # noqa: SLF001  the same


@lru_cache(maxsize=4096)
def _duration(model: str, version: str) -> Histogram:
    return DURATION.labels(model, version)
