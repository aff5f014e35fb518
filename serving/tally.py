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

Arm = tuple[str, str, str, str]
"""Model, version, arm, epoch."""


def count(records: Iterable[Record], units: FirstOutcomes | None) -> None:
    """Count what `records` say. Of a sticky caller only the first outcome is one, as `units` knows."""
    rejected: Tally[str] = Tally()
    reached: list[tuple[Record, Choice]] = []
    for record in records:
        if record.choice is None:
            rejected[record.code or record.outcome] += 1
        else:
            reached.append((record, record.choice))
    for code, number in rejected.items():
        metrics.REJECTED.labels(code).inc(number)
    _count_outcomes(reached)
    _count_seconds(reached)
    _count_failures(reached)
    evidence = [record for record, _ in reached if record.epoch]
    if evidence:
        _count_slow(evidence)
        _count_users(evidence, units)


def _count_outcomes(reached: list[tuple[Record, Choice]]) -> None:
    outcomes: Tally[tuple[str, str, str, str, str]] = Tally()
    assigned: Tally[Arm] = Tally()
    kept: Tally[tuple[str, str, str]] = Tally()
    for record, choice in reached:
        outcomes[choice.model, choice.version, choice.arm, record.epoch, record.counted] += 1
        if record.assigned:
            assigned[choice.model, choice.version, choice.arm, record.epoch] += 1
        if record.kept:
            kept[choice.model, choice.version, record.kept] += 1
    for result, number in kept.items():
        metrics.CACHE.labels(*result).inc(number)
    for arm, number in assigned.items():
        metrics.assigned(*arm).inc(number)
    for labels, number in outcomes.items():
        metrics.PREDICTIONS.labels(*labels).inc(number)


def _count_seconds(reached: list[tuple[Record, Choice]]) -> None:
    seconds: dict[tuple[str, str], list[float]] = {}
    for record, choice in reached:
        took = record.seconds if record.shielded is None else record.took
        seconds.setdefault((choice.model, choice.version), []).append(took)
    for version, taken in seconds.items():
        metrics.observe(*version, taken)


def _count_failures(reached: list[tuple[Record, Choice]]) -> None:
    for record, choice in reached:
        if record.code is not None:
            metrics.ERRORS.labels(choice.model, choice.version, record.code).inc()
        if record.shielded is not None and record.outcome == "ok":
            metrics.SHIELDED.labels(choice.model, record.shielded.version, record.shielded.outcome).inc()


def _count_slow(records: list[Record]) -> None:
    slow: Tally[Arm] = Tally()
    for record in records:
        if is_slow(record):
            slow[_arm(record)] += 1
    for labels, number in slow.items():
        metrics.SLOW.labels(*labels).inc(number)


def is_slow(record: Record) -> bool:
    """Whether the version answered or failed later than its route allows. Overload and the caller's mistakes are not slow."""
    if record.counted == "timeout":
        return True
    trial = record.choice.trial if record.choice is not None else None
    limit = trial.slow_seconds if trial is not None else None
    return limit is not None and record.counted in ANSWERED and record.took > limit


def _count_users(records: list[Record], units: FirstOutcomes | None) -> None:
    if units is None:
        return
    firsts: Tally[tuple[str, str, str, str, str]] = Tally()
    for record in records:
        choice = record.choice
        trial = choice.trial if choice is not None else None
        if choice is None or trial is None or trial.unit is None or record.counted not in ANSWERED | CHARGED:
            continue
        if units.is_first(choice.model, trial.salt, trial.unit):
            firsts[(*_arm(record), "failed" if record.counted in CHARGED else "ok")] += 1
    for labels, number in firsts.items():
        metrics.USERS.labels(*labels).inc(number)


def _arm(record: Record) -> Arm:
    choice = record.choice
    assert choice is not None  # noqa: S101  evidence has one
    return choice.model, choice.version, choice.arm, record.epoch
