"""Evidence from a Prometheus server that scrapes the gateways.

The counters are read as they are, of each gateway by itself, and added up here as those of the gateways are. PromQL's own
`increase` would guess at the edges of its window and leave out what a series counted before its first scrape, which is each
version's first failure. What is lost this way: counts between the last scrape and a restart of a gateway, and restarts while
no controller looked. Evidence is as old as the last scrape.
"""

import json
import re
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from registry_hooks.evidence.asking import Asker
from registry_hooks.evidence.latency import merge, quantile
from registry_hooks.evidence.port import Reports
from registry_hooks.evidence.series import COUNTERS, Sample, reading
from registry_hooks.evidence.tally import Tally
from stagedoor import names
from stagedoor.errors import EvidenceUnavailable

P99: Final = 0.99
STALE_SECONDS: Final = 150.0
"""A gateway whose last scrape is older cannot tell. Two scrapes of the usual longest interval, and some."""

_COUNTERS: Final = "|".join(COUNTERS)
_DURATION: Final = f"{names.METRIC_DURATION}_(bucket|sum)"

Instance = tuple[str, str]
"""Job and instance: how Prometheus names a gateway."""


class _Point(NamedTuple):
    """One element of an instant vector. `at` is when it was evaluated."""

    labels: dict[str, str]
    at: float
    value: float

    @property
    def instance(self) -> Instance:
        return self.labels.get("job", ""), self.labels.get("instance", "")


class PrometheusSource:
    """The EvidenceSource over the HTTP API of the Prometheus server at `url`. `deadline`: see Tally."""

    def __init__(self, url: str, *, deadline: float) -> None:
        self._asker = Asker(url, who="Prometheus")
        self._tally = Tally(deadline=deadline, dense=False)
        self._lock = threading.Lock()
        self._known: set[Instance] = set()

    def read(self, models: Collection[str], now: float) -> Reports:
        """See EvidenceSource. The moments that count are those of the scrapes, by the clock of Prometheus."""
        del now
        with self._lock:
            try:
                silent = self._look(models) if models else 0
            except EvidenceUnavailable as error:
                raise EvidenceUnavailable(str(error), partial=self._tally.reports(models)) from error
            reports = self._tally.reports(models)
        if silent:
            reason = f"Prometheus cannot reach {silent} of the gateways, or has not for {STALE_SECONDS:g} seconds."
            raise EvidenceUnavailable(reason, partial=reports)
        return reports

    def stable_p99(self, model: str, version: str) -> float | None:
        """See EvidenceSource."""
        query = f'{{__name__=~"{_DURATION}",model="{_quoted(model)}",version="{_quoted(version)}"}}'
        by_instance: dict[Instance, list[Sample]] = defaultdict(list)
        with self._lock:
            points = self._query(query)
        for point in points:
            by_instance[point.instance].append(_sample(point))
        try:
            found = [reading(samples).latencies.values() for samples in by_instance.values()]
            return quantile(merge(buckets for each in found for buckets in each), P99)
        except ValueError as error:
            raise EvidenceUnavailable("The histograms in Prometheus do not fit together.") from error

    def _look(self, models: Collection[str]) -> int:
        """Take the newest scrape of each gateway; returns how many could not be scraped."""
        scraped = self._scrapes()
        down = {point.instance for point in self._query("up == 0")}
        self._known |= scraped.keys()
        if not self._known:
            raise EvidenceUnavailable("Prometheus knows no gateway. Let it scrape /metrics of every gateway.")
        stale = {instance for instance, (at, scrape) in scraped.items() if at - scrape > STALE_SECONDS}
        if scraped:
            self._count(models, {instance: scrape for instance, (_, scrape) in scraped.items()})
        # A gateway that Prometheus does not know any more was taken away by somebody: what it counted stays.
        self._known &= scraped.keys() | down
        return len(self._known & (stale | down))

    def _scrapes(self) -> dict[Instance, tuple[float, float]]:
        """Of each gateway the moment of the question, and of the scrape that answers it; in seconds."""
        return {p.instance: (p.at, p.value) for p in self._query(f"timestamp({names.METRIC_SNAPSHOT_SERIAL})")}

    def _count(self, models: Collection[str], scraped: dict[Instance, float]) -> None:
        names_of = "|".join(_quoted(re.escape(model)) for model in sorted(models))
        by_instance: dict[Instance, list[Sample]] = {instance: [] for instance in scraped}
        for point in self._query(f'{{__name__=~"{_COUNTERS}",model=~"{names_of}",epoch!=""}}'):
            by_instance.get(point.instance, []).append(_sample(point))
        after = self._scrapes()
        for instance, samples in by_instance.items():
            # A scrape between the questions: nobody knows how old the counters are. The next look will.
            if after.get(instance, (0, None))[1] != scraped[instance]:
                continue
            try:
                self._tally.add("\x1f".join(instance), reading(samples), scraped[instance])
            except ValueError as error:
                raise EvidenceUnavailable("What Prometheus knows of a gateway cannot be counters.") from error

    def _query(self, query: str) -> list[_Point]:
        """Evaluate an instant vector now. Raises EvidenceUnavailable."""
        body = self._asker.ask("/api/v1/query", data={"query": query})
        try:
            return list(_points(json.loads(body)))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise EvidenceUnavailable("What answers at the Prometheus address is not Prometheus. Check the address.") from error


def _points(answer: Any) -> Iterator[_Point]:  # noqa: ANN401  JSON
    if answer["status"] != "success" or answer["data"]["resultType"] != "vector":
        raise ValueError("not an instant vector")
    for element in answer["data"]["result"]:
        at, value = element["value"]
        yield _Point({str(key): str(text) for key, text in element["metric"].items()}, float(at), float(value))


def _sample(point: _Point) -> Sample:
    return Sample(point.labels.get("__name__", ""), point.labels, point.value)


def _quoted(text: str) -> str:
    """As it stands within a PromQL string."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
