"""The series of the gateways' metrics that are evidence, read from the text format of Prometheus. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from registry_hooks.evidence.latency import Buckets
from stagedoor import names

COUNTERS: Final = (names.METRIC_ASSIGNED, names.METRIC_PREDICTIONS, names.METRIC_SLOW, names.METRIC_USERS, names.METRIC_SHADOW)
WANTED: Final = (*COUNTERS, names.METRIC_DURATION)
MAX_EPOCHS: Final = 16
"""Of each model the newest so many epochs are read: a long-lived gateway remembers thousands."""

_BUCKET: Final = f"{names.METRIC_DURATION}_bucket"
_SUM: Final = f"{names.METRIC_DURATION}_sum"


class Series(NamedTuple):
    """One counter. `arm` and `outcome` are "" for metrics without that label."""

    metric: str
    model: str
    version: str
    epoch: int
    arm: str
    outcome: str


class Sample(NamedTuple):
    """One number as the exposition has it."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What one gateway said at one moment. `latencies` are by model and version, whatever the epoch."""

    counters: Mapping[Series, int] = field(default_factory=dict)
    latencies: Mapping[tuple[str, str], Buckets] = field(default_factory=dict)


def parse(text: str) -> Iterator[Sample]:
    """The samples of WANTED. Raises ValueError for what is not the text format."""
    kept = [line for line in text.splitlines() if line.removeprefix("# TYPE ").startswith(WANTED)]
    for family in text_string_to_metric_families("\n".join(kept) + "\n"):
        for sample in family.samples:
            yield Sample(sample.name, sample.labels, sample.value)


def reading(samples: Iterable[Sample]) -> Reading:
    """Sort samples by what they count. Raises ValueError for numbers that no counter has."""
    counters: dict[Series, int] = defaultdict(int)
    bounds: dict[tuple[str, str], dict[float, float]] = defaultdict(lambda: defaultdict(float))
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for name, labels, value in samples:
        if name in COUNTERS:
            series = _series(name, labels)
            if series is not None:
                counters[series] += _whole(value)
        elif name in {_BUCKET, _SUM} and not value >= 0:
            raise ValueError("a histogram cannot say that")
        elif name == _BUCKET:
            bounds[_version(labels)][float(labels.get("le", "nan"))] += value
        elif name == _SUM:
            sums[_version(labels)] += value
    latencies = {key: Buckets.of(found, sums.get(key, 0.0)) for key, found in bounds.items()}
    return Reading(newest(counters), latencies)


def _series(name: str, labels: Mapping[str, str]) -> Series | None:
    """None for what is not evidence: requests outside a watched route carry no epoch."""
    epoch = labels.get("epoch", "")
    if not epoch.isascii() or not epoch.isdecimal():
        return None
    model, version = _version(labels)
    return Series(name, model, version, int(epoch), labels.get("arm", ""), labels.get("outcome", ""))


def _version(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("model", ""), labels.get("version", "")


def _whole(value: float) -> int:
    if not 0 <= value < 1e15:  # noqa: PLR2004  beyond this a float is no count any more
        raise ValueError("a counter cannot say that")
    return round(value)


def newest(counters: Mapping[Series, int]) -> dict[Series, int]:
    """Those of the newest MAX_EPOCHS epochs of each model."""
    epochs: dict[str, set[int]] = defaultdict(set)
    for series in counters:
        epochs[series.model].add(series.epoch)
    oldest = {model: sorted(found)[-MAX_EPOCHS:][0] for model, found in epochs.items()}
    return {series: count for series, count in counters.items() if series.epoch >= oldest[series.model]}
