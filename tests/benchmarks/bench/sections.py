"""The tables of the results page, each from the readings alone. A table of nothing is empty text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from . import names
from .document import Document, Overload
from .figures import (
    Spread,
    closed_median,
    closed_of,
    connections,
    inside_of,
    levels_of,
    memory_of,
    open_of,
    paired,
    servers_of,
    starts_of,
)
from .markdown import bold, table
from .scaling import GREATER, beside_one_worker, of_workers, separate, whole_of
from .targets import verdicts

MILLI: Final = 1e-3
_METRICS: Final = (("rate", "requests/s", 1), ("p99_us", "p99", -1), ("cpu_us", "CPU per request", -1))


def targets(document: Document) -> str:
    """Every target with its figure, in the order of the page."""
    words = {True: "met", False: bold("MISSED"), None: "not measured"}
    rows = [(v.about, v.target, v.figure, words[v.met]) for v in verdicts(document)]
    return table(["what", "target", "figure", ""], rows)


def tally(document: Document) -> str:
    """How many targets are met."""
    found = [verdict.met for verdict in verdicts(document)]
    met, missed, unknown = (sum(one is kind for one in found) for kind in (True, False, None))
    return f"{met} of {len(found)} targets met, {missed} missed, {unknown} not measured."


def closed(document: Document, workload: str, level: int) -> str:
    """All servers with this model at this level, the fastest at 16 connections first."""
    rows = []
    for server in servers_of(document, workload):
        found = closed_of(document, server, workload, level)
        if not found:
            continue
        spreads = [
            Spread.of(getattr(row, field) for row in found) for field in ("rate", "p50_us", "p99_us", "p999_us", "cpu_us")
        ]
        rate, p50, p99, p999, cpu = (spread for spread in spreads if spread is not None)
        rows.append(
            (
                bold(server, when=server == names.OURS) + _other_run(document, workload, found[0].run),
                rate.text(),
                p50.text(MILLI, 2),
                p99.text(MILLI, 2),
                p999.text(MILLI, 2),
                cpu.text(),
                f"{sum(row.failed for row in found):,}",
            )
        )
    return table(["server", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU us/request", "failed"], rows) if rows else ""


def _other_run(document: Document, workload: str, run: int) -> str:
    """A mark on figures that were not read in the same run as most of the table."""
    runs = [row.run for row in document.closed if row.workload == workload]
    return "" if run == max(set(runs), key=runs.count) else f" (run {run + 1})"


def levels(document: Document, workload: str) -> list[tuple[int, str]]:
    """The closed-loop tables of one model."""
    return [(level, closed(document, workload, level)) for level in levels_of(document, workload)]


def losses(document: Document) -> list[str]:
    """Where neighbours are ahead of this gateway: a sentence for each figure of a level, the best neighbour first."""
    found = []
    for workload in names.WORKLOADS:
        for level in levels_of(document, workload):
            for field, label, sign in _METRICS:
                ours = closed_median(document, names.OURS, workload, level, field)
                ahead = _ahead(document, workload, level, field, sign)
                if ours is not None and ahead:
                    unit = "" if field == "rate" else " us"
                    told = ", ".join(f"{server} {figure:,.0f}{unit}" for server, figure in ahead)
                    found.append(f"{workload}, {connections(level)}, {label}: {told}; {names.OURS} {ours:,.0f}{unit}.")
    return found


def _ahead(document: Document, workload: str, level: int, field: str, sign: int) -> list[tuple[str, float]]:
    """The neighbours with a better figure than ours; `sign` is 1 where more is better."""
    ours = closed_median(document, names.OURS, workload, level, field)
    figures = {
        server: found
        for server in servers_of(document, workload)
        if server not in names.OWN and (found := closed_median(document, server, workload, level, field)) is not None
    }
    better = [(server, found) for server, found in figures.items() if ours is not None and sign * found > sign * ours]
    return sorted(better, key=lambda one: -sign * one[1])


def open_loop(document: Document, workload: str) -> str:
    """Latencies at half of each server's own capacity."""
    rows = []
    for server in servers_of(document, workload):
        found = open_of(document, server, workload)
        if not found:
            continue
        p50, p99, p999, most = (
            Spread.of(getattr(row, field) for row in found) for field in ("p50_us", "p99_us", "p999_us", "max_us")
        )
        assert p50 and p99 and p999 and most  # noqa: PT018  there are rows
        rows.append(
            (
                bold(server, when=server == names.OURS),
                f"{found[0].wanted:,.0f}",
                p50.text(MILLI, 2),
                p99.text(MILLI, 2),
                p999.text(MILLI, 2),
                f"{p999.median / p50.median:.1f}" if p50.median else "",  # none was answered
                most.text(MILLI, 1),
                f"{max(row.late_us for row in found):,.0f}",
                f"{tail:,.0f}" if (tail := max(row.late_p999_us for row in found)) else "",
                f"{sum(row.failed for row in found):,}",
            )
        )
    of_the_answers = ["sent/s", "p50 ms", "p99 ms", "p99.9 ms", "p99.9 / p50", "max ms"]
    columns = ["server", *of_the_answers, "driver's own p99 us", "its p99.9 us", "failed"]
    return table(columns, rows) if rows else ""


def overload(document: Document) -> str:
    """What becomes of requests beyond capacity: one column for each run."""
    if not document.overload:
        return ""
    rows = [(label, *(value(row) for row in document.overload)) for label, value in _OVERLOAD]
    return table(["", *(f"{row.server}, {row.workload}" for row in document.overload)], rows)


def _ms(*values: float) -> str:
    return ", ".join(f"{value * MILLI:,.1f}" for value in values) + " ms"


def _later(row: Overload) -> str:
    return _ms(row.ok_later_p99_us) if row.ok_later_p99_us else "not measured"


def _connections(row: Overload) -> str:
    return f"{row.light_connections:,}, {row.connections:,}" if row.connections else "not told"


_OVERLOAD: Final[tuple[tuple[str, Callable[[Overload], str]], ...]] = (
    ("capacity at 16 connections", lambda row: f"{row.capacity:,.0f}/s"),
    ("wanted; sent", lambda row: f"{row.wanted:,.0f}/s; {row.sent:,.0f}/s for {row.seconds:.0f} s"),
    ("at a tenth of the capacity: p50, p99", lambda row: _ms(row.light_p50_us, row.light_p99_us)),
    ("accepted", lambda row: f"{row.ok:,.0f}/s, {row.ok / row.capacity:.0%} of the capacity"),
    ("accepted: p50, p99", lambda row: _ms(row.ok_p50_us, row.ok_p99_us)),
    ("accepted of what was due after the first second: p99", _later),
    ("503 with Retry-After", lambda row: f"{row.shed:,.0f}/s"),
    ("503: p50, p99", lambda row: _ms(row.shed_p50_us, row.shed_p99_us)),
    ("other answers and failures", lambda row: f"{row.other:,}"),
    ("unanswered", lambda row: f"{row.unanswered:,}"),
    ("the driver sent late by (p99)", lambda row: _ms(row.late_us)),
    ("memory before, during, after", lambda row: f"{row.before_mb:,.0f}, {row.during_mb:,.0f}, {row.after_mb:,.0f} MB"),
    ("connections before, at most during", _connections),
    ("good answer afterwards", lambda row: f"after {row.recovery_ms:,.0f} ms"),
)


def memory_and_start(document: Document, workload: str) -> str:
    """Memory after load, and start to first right answer."""
    remembered = {row.server for row in document.memory if row.workload == workload}
    started = {row.server for row in document.start if row.workload == workload}
    rows = []
    for server in sorted(remembered | started):
        memory = Spread.of(row.pss_mb for row in memory_of(document, server, workload))
        seconds = Spread.of(row.seconds for row in starts_of(document, server, workload))
        processes = max((row.processes for row in memory_of(document, server, workload)), default=0)
        rows.append(
            (
                bold(server, when=server == names.OURS),
                memory.text() if memory else "",
                str(processes) if processes else "",
                seconds.text(1, 1) if seconds else "",
            )
        )
    return table(["server", "memory MB (PSS)", "processes", "start to first answer s"], rows) if rows else ""


def workers(document: Document) -> str:
    """CPU per request with more workers: by that of as many gateways of one, which is the control, and by that with one."""
    rows = []
    for count in GREATER:
        own, control = of_workers(names.OURS, count), separate(count)
        ratios = [
            paired(document, (own, control), names.WORKERS, 16, "cpu_us"),
            *(beside_one_worker(document, server, count) for server in (names.OURS, names.ECHO)),
        ]
        if any(ratios):
            rows.append((str(count), *(ratio.text(" us") if ratio else "not measured" for ratio in ratios)))
    columns = ["workers", "by as many gateways of 1 worker", "by the same with 1 worker", "the echo by itself with 1 worker"]
    return table(columns, rows) if rows else ""


def growth(document: Document) -> str:
    """One request, one routing decision and one run of the model, in one process, as the view grows."""
    one = inside_of(document, names.ONE, names.REQUEST)
    rows = []
    for scenario in names.SCENARIOS:
        request, routing, model = (inside_of(document, scenario, what) for what in (names.REQUEST, names.ROUTING, names.MODEL))
        if request is not None and routing is not None:
            times = f"{request / one:.2f}" if one else ""
            alone = "not measured" if model is None else f"{model:.1f}"
            rows.append((scenario, f"{request:.1f}", times, alone, f"{routing:.2f}", f"{routing / request:.1%}"))
    routing_columns = ["routing decision us", "its share of `Plane.predict`"]
    columns = ["models", "`Plane.predict` us", "times that of 1", "the model by itself us", *routing_columns]
    return table(columns, rows) if rows else ""


def instructions(document: Document) -> str:
    """How many instructions one request takes, as the view grows."""
    base = whole_of(document, names.ONE)
    rows = []
    for scenario in names.COUNTED:
        found = whole_of(document, scenario)
        if found:
            times = (
                [f"{one / of:.3f}" for one, of in zip((*found, sum(found)), (*base, sum(base)), strict=True)]
                if base
                else [""] * 3
            )
            rows.append((scenario, f"{found[0]:,.0f}", times[0], f"{found[1]:,.0f}", times[1], times[2]))
    its = "times those of 1"
    columns = ["models", "instructions of a `Plane.predict`", its, "of its metrics and log line", its, f"both: {its}"]
    return table(columns, rows) if rows else ""


def missing(document: Document) -> str:
    """What was not measured, and why."""
    return table(["server", "with", "why"], [(row.server, row.workload, row.why) for row in document.missing])
