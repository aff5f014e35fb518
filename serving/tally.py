"""From records to metrics. Adds up before touching the shared counters: one increment for a hundred alike requests."""

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Final

from serving import metrics
from serving.records import Record
from serving.routing import Choice
from serving.units import FirstOutcomes

ANSWERED: Final = frozenset({"ok", "model_error", "invalid_output"})
CHARGED: Final = frozenset({"model_error", "invalid_output", "timeout"})
_KNOWN: Final = ANSWERED | CHARGED


def count(records: Iterable[Record], units: FirstOutcomes | None) -> None:
    """Count what `records` say. Of a sticky caller only the first outcome is one, as `units` knows."""
    rejected: Tally[str] = Tally()
    by_choice: dict[Choice, list[Record]] = {}
    for record in records:
        choice = record.choice
        if choice is None:
            rejected[record.code or record.outcome] += 1
        elif choice in by_choice:
            by_choice[choice].append(record)
        else:
            by_choice[choice] = [record]
    for code, number in rejected.items():
        metrics.REJECTED.labels(code).inc(number)
    for choice, reached in by_choice.items():
        _count_outcomes(choice, reached)
        metrics.observe(choice.model, choice.version, [r.seconds if r.shielded is None else r.took for r in reached])
        failed = [record for record in reached if record.code is not None or record.shielded is not None]
        if failed:
            _count_failures(choice, failed)
        evidence = [record for record in reached if record.epoch]
        if evidence:
            _count_slow(choice, evidence)
            _count_users(choice, evidence, units)


def _count_outcomes(choice: Choice, reached: list[Record]) -> None:
    outcomes = Tally([(record.epoch, record.counted) for record in reached])
    assigned = Tally([record.epoch for record in reached if record.assigned])
    kept = Tally([record.kept for record in reached if record.kept])
    for how, number in kept.items():
        metrics.CACHE.labels(choice.model, choice.version, how).inc(number)
    for epoch, number in assigned.items():
        metrics.assigned(choice.model, choice.version, choice.arm, epoch).inc(number)
    for (epoch, counted), number in outcomes.items():
        metrics.PREDICTIONS.labels(choice.model, choice.version, choice.arm, epoch, counted).inc(number)


def _count_failures(choice: Choice, records: list[Record]) -> None:
    for record in records:
        if record.code is not None:
            metrics.ERRORS.labels(choice.model, choice.version, record.code).inc()
        if record.shielded is not None and record.outcome == "ok":
            metrics.SHIELDED.labels(choice.model, record.shielded.version, record.shielded.outcome).inc()


def _count_slow(choice: Choice, records: list[Record]) -> None:
    for epoch, number in Tally([record.epoch for record in records if is_slow(record)]).items():
        metrics.SLOW.labels(choice.model, choice.version, choice.arm, epoch).inc(number)


def is_slow(record: Record) -> bool:
    """Whether the version answered or failed later than its route allows. Overload and the caller's mistakes are not slow."""
    if record.counted == "timeout":
        return True
    trial = record.choice.trial if record.choice is not None else None
    limit = trial.slow_seconds if trial is not None else None
    return limit is not None and record.counted in ANSWERED and record.took > limit


def _count_users(choice: Choice, records: list[Record], units: FirstOutcomes | None) -> None:
    trial = choice.trial
    if units is None or trial is None:
        return
    for record in records:
        if record.unit is not None and record.counted in _KNOWN and units.is_first(choice.model, trial.salt, record.unit):
            outcome = "failed" if record.counted in CHARGED else "ok"
            metrics.USERS.labels(choice.model, choice.version, choice.arm, record.epoch, outcome).inc()
