"""Adds up what the gateways counted: over restarts, over gateways, with the requests that were lost."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from registry_hooks.evidence.latency import Buckets, merge
from registry_hooks.evidence.lost import History, Look
from registry_hooks.evidence.port import Reports
from registry_hooks.evidence.series import Reading, Series, newest
from stagedoor import names
from stagedoor.domain.evidence import Counts, Evidence, ShadowCounts

FAILURES: Final = frozenset({"model_error", "invalid_output", "timeout"})
"""Outcomes that are the version's doing."""
OUTCOME_MARGIN_SECONDS: Final = 5.0
"""What a request may take beyond the prediction's own time: its body, its queue, its record."""


class _Trial(NamedTuple):
    """One arm in one epoch."""

    model: str
    epoch: int
    arm: str
    version: str


class _Gateway:
    """One gateway's counters. A life lasts from one restart to the next; what earlier lives counted is in `before`."""

    def __init__(self) -> None:
        self.reading = Reading()
        self._before: dict[Series, int] = {}
        self._lost_before: dict[_Trial, int] = {}
        self._histories: dict[_Trial, History] = {}

    def add(self, reading: Reading, now: float, deadline: float, *, dense: bool) -> None:
        """Take the newest reading. `dense`: readings are fresh and close enough to see who is on the way."""
        if _restarted(self.reading.counters, reading.counters):
            self._close_life()
        # A series that vanished without a restart was retired by the gateway: it keeps its last value.
        counters = newest({**self.reading.counters, **reading.counters})
        self.reading = Reading(counters, reading.latencies)
        trials = _trials(counters)
        self._histories = {trial: history for trial, history in self._histories.items() if trial in trials}
        for trial, (assigned, finished) in trials.items():
            mean = reading.latencies.get((trial.model, trial.version), Buckets()).mean if dense else None
            history = self._histories.setdefault(trial, History())
            history.add(Look(now, assigned, finished), deadline=deadline, mean_seconds=mean)

    def totals(self) -> Iterator[tuple[Series, int]]:
        """Every counter over all lives."""
        yield from self._before.items()
        yield from self.reading.counters.items()

    def lost(self) -> Iterator[tuple[_Trial, int]]:
        """Requests without an outcome, over all lives."""
        yield from self._lost_before.items()
        yield from ((trial, history.lost) for trial, history in self._histories.items())

    def _close_life(self) -> None:
        """What was on the way when a gateway ended was ended by the restart, not by the version: it is not lost."""
        for series, count in self.reading.counters.items():
            self._before[series] = self._before.get(series, 0) + count
        self._before = newest(self._before)
        kept = {(series.model, series.epoch) for series in self._before}
        for trial, history in self._histories.items():
            self._lost_before[trial] = self._lost_before.get(trial, 0) + history.lost
        self._lost_before = {trial: n for trial, n in self._lost_before.items() if (trial.model, trial.epoch) in kept}
        self._histories.clear()
        self.reading = Reading()


class Tally:
    """What is known of all gateways. Not for several threads at once."""

    def __init__(self, *, deadline: float, dense: bool) -> None:
        """After `deadline` seconds a request without an outcome counts as failed."""
        self._deadline = deadline
        self._dense = dense
        self._gateways: dict[str, _Gateway] = {}

    def add(self, gateway: str, reading: Reading, now: float) -> None:
        """Take what `gateway` says at `now`."""
        self._gateways.setdefault(gateway, _Gateway()).add(reading, now, self._deadline, dense=self._dense)

    def reports(self, models: Collection[str]) -> Reports:
        """The evidence about these models."""
        totals: dict[tuple[str, int], dict[Series, int]] = defaultdict(lambda: defaultdict(int))
        lost: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for gateway in self._gateways.values():
            for series, count in gateway.totals():
                if series.model in models:
                    totals[series.model, series.epoch][series] += count
            for trial, count in gateway.lost():
                lost[trial.model, trial.epoch][trial.arm] += count
        reports: dict[str, dict[int, Evidence]] = defaultdict(dict)
        for (model, epoch), counters in totals.items():
            reports[model][epoch] = _evidence(epoch, counters, lost[model, epoch])
        return MappingProxyType(reports)

    def latency(self, model: str, version: str) -> Buckets:
        """The histogram of one version over all gateways, since their last restart."""
        return merge(found for gateway in self._gateways.values() if (found := gateway.reading.latencies.get((model, version))))


def _restarted(old: Mapping[Series, int], new: Mapping[Series, int]) -> bool:
    """A counter that falls, or the loss of all of them at once."""
    return bool(old) and (not new.keys() & old.keys() or any(new.get(series, count) < count for series, count in old.items()))


def _trials(counters: Mapping[Series, int]) -> dict[_Trial, tuple[int, int]]:
    """Assigned and finished requests of each arm in each epoch."""
    assigned: dict[_Trial, int] = defaultdict(int)
    finished: dict[_Trial, int] = defaultdict(int)
    for series, count in counters.items():
        trial = _Trial(series.model, series.epoch, series.arm, series.version)
        if series.metric == names.METRIC_ASSIGNED:
            assigned[trial] += count
        elif series.metric == names.METRIC_PREDICTIONS:
            finished[trial] += count
    return {trial: (count, finished[trial]) for trial, count in assigned.items()}


def _evidence(epoch: int, counters: Mapping[Series, int], lost: Mapping[str, int]) -> Evidence:
    users = {series for series in counters if series.metric == names.METRIC_USERS}
    arms = {series.arm for series in counters if series.metric != names.METRIC_SHADOW}
    count = _users if users else _requests
    found = {arm: count([(s, n) for s, n in counters.items() if s.arm == arm], lost.get(arm, 0)) for arm in sorted(arms)}
    shadow = {s.outcome: 0 for s in counters if s.metric == names.METRIC_SHADOW}
    for series, number in counters.items():
        if series.metric == names.METRIC_SHADOW:
            shadow[series.outcome] += number
    return Evidence(
        epoch,
        MappingProxyType({arm: counts for arm, counts in found.items() if counts != Counts()}),
        ShadowCounts(
            agreed=shadow.get("agree", 0),
            disagreed=shadow.get("disagree", 0),
            failed=sum(shadow.get(outcome, 0) for outcome in FAILURES),
            dropped=shadow.get("dropped", 0),
        ),
    )


def _requests(counters: list[tuple[Series, int]], lost: int) -> Counts:
    predictions = [(s.outcome, n) for s, n in counters if s.metric == names.METRIC_PREDICTIONS]
    return Counts(
        assigned=sum(n for s, n in counters if s.metric == names.METRIC_ASSIGNED),
        ok=sum(n for outcome, n in predictions if outcome == "ok"),
        failed=sum(n for outcome, n in predictions if outcome in FAILURES) + lost,
        slow=sum(n for s, n in counters if s.metric == names.METRIC_SLOW) + lost,
    )


def _users(counters: list[tuple[Series, int]], lost: int) -> Counts:
    """Of a sticky route: each unit counts once, by its first outcome. Which units lost requests belonged to nobody knows."""
    del lost
    first = [(s.outcome, n) for s, n in counters if s.metric == names.METRIC_USERS]
    ok = sum(n for outcome, n in first if outcome == "ok")
    failed = sum(n for outcome, n in first if outcome == "failed")
    return Counts(assigned=ok + failed, ok=ok, failed=failed)
