"""From records to metrics. Adds up before touching the shared counters: one increment for a hundred alike requests."""

from collections.abc import Iterable
from typing import Final

from serving import metrics
from serving.records import Record
from serving.routing import Choice
from serving.units import FirstOutcomes

ANSWERED: Final = frozenset({"ok", "model_error", "invalid_output"})
CHARGED: Final = frozenset({"model_error", "invalid_output", "timeout"})
_KNOWN: Final = ANSWERED | CHARGED

Arm = tuple[str, str, str, str]
"""Model, version, arm, epoch."""


class Tally:
    """What records say, added up until it is written to the shared counters. For one thread at a time."""

    def __init__(self, units: FirstOutcomes | None) -> None:
        """Of a sticky caller only the first outcome is one, as `units` knows."""
        self._units = units
        self._rejected: dict[str, int] = {}
        self._outcomes: dict[tuple[Arm, str, bool], int] = {}
        self._seconds: dict[tuple[str, str], list[float]] = {}
        self._errors: dict[tuple[str, str, str], int] = {}

    def add(self, records: Iterable[Record]) -> bool:
        """Add `records`; whether there is evidence among them, which is not to wait."""
        outcomes, seconds = self._outcomes, self._seconds
        has_evidence = False
        for record in records:
            choice = record.choice
            if choice is None:
                code = record.code or record.outcome
                self._rejected[code] = self._rejected.get(code, 0) + 1
                continue
            alike = ((choice.model, choice.version, choice.arm, record.epoch), record.counted, record.assigned)
            outcomes[alike] = outcomes.get(alike, 0) + 1
            took = record.seconds if record.shielded is None else record.took
            version = (choice.model, choice.version)
            if version in seconds:
                seconds[version].append(took)
            else:
                seconds[version] = [took]
            if record.code is not None:
                failed = (choice.model, choice.version, record.code)
                self._errors[failed] = self._errors.get(failed, 0) + 1
            if record.epoch or record.shielded is not None or record.kept:
                has_evidence = True
                _count_rest(choice, record, self._units)
        return has_evidence

    def write(self) -> None:
        """Bring the shared counters up to date."""
        rejected, self._rejected = self._rejected, {}
        outcomes, self._outcomes = self._outcomes, {}
        seconds, self._seconds = self._seconds, {}
        errors, self._errors = self._errors, {}
        for code, number in rejected.items():
            metrics.REJECTED.labels(code).inc(number)
        for (arm, counted, assigned), number in outcomes.items():
            metrics.predictions(*arm, counted).inc(number)
            if assigned:
                metrics.assigned(*arm).inc(number)
        for version, taken in seconds.items():
            metrics.observe(*version, taken)
        for failed, number in errors.items():
            metrics.ERRORS.labels(*failed).inc(number)


def _count_rest(choice: Choice, record: Record, units: FirstOutcomes | None) -> None:
    """What most requests have nothing of."""
    if record.kept:
        metrics.CACHE.labels(choice.model, choice.version, record.kept).inc()
    if record.shielded is not None and record.outcome == "ok":
        metrics.SHIELDED.labels(choice.model, record.shielded.version, record.shielded.outcome).inc()
    if record.epoch:
        if is_slow(record):
            metrics.SLOW.labels(choice.model, choice.version, choice.arm, record.epoch).inc()
        _count_user(choice, record, units)


def _count_user(choice: Choice, record: Record, units: FirstOutcomes | None) -> None:
    trial = choice.trial
    if units is None or trial is None or record.unit is None or record.counted not in _KNOWN:
        return
    if units.is_first(choice.model, trial.salt, record.unit):
        outcome = "failed" if record.counted in CHARGED else "ok"
        metrics.USERS.labels(choice.model, choice.version, choice.arm, record.epoch, outcome).inc()


def is_slow(record: Record) -> bool:
    """Whether the version answered or failed later than its route allows. Overload and the caller's mistakes are not slow."""
    if record.counted == "timeout":
        return True
    trial = record.choice.trial if record.choice is not None else None
    limit = trial.slow_seconds if trial is not None else None
    return limit is not None and record.counted in ANSWERED and record.took > limit
