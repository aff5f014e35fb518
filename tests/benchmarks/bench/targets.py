"""What the figures have to come to, and whether they do. Pure: a document in, verdicts out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from . import names
from .document import Document, Overload
from .figures import Spread, closed_median, closed_of, connections, inside_of, memory_of, open_of, paired, starts_of
from .scaling import growth, instructions, workers
from .verdict import SAME, Judge, Verdict, unknown


def verdicts(document: Document) -> tuple[Verdict, ...]:
    """Every target, in the order of the page."""
    return tuple(verdict for judge in TARGETS for verdict in judge(document))


def _rival(document: Document, other: str, workload: str, level: int, what: str) -> str | None:
    """The best among the variants of one neighbour (`triton`, `triton-eager`): the harder target."""
    servers = {row.server for row in document.closed if row.workload == workload and row.connections == level}
    family = {server for server in servers if server == other or (server.startswith(f"{other}-") and other != names.MLFLOW)}
    found = {server: closed_median(document, server, workload, level, what) or 0.0 for server in sorted(family)}
    best = max if what == "rate" else min
    return best(found, key=lambda server: found[server]) if found else None


def _faster(document: Document, *, workload: str, other: str, level: int, least: float) -> Iterator[Verdict]:
    about = f"{workload}, {connections(level)}"
    target = f"at least {f'{least:g} times ' if least != 1 else ''}the requests/s of {other}"
    rival = _rival(document, other, workload, level, "rate")
    found = paired(document, (names.OURS, rival), workload, level, "rate") if rival else None
    if rival is None or found is None:
        yield unknown(about, target, other if rival is None else names.OURS)
        return
    yield Verdict(about, target, found.text(_of(rival, other)), found.times >= least)


def _at_most(document: Document, *, workload: str, other: str, level: int, what: str, most: float) -> Iterator[Verdict]:
    """`what` is a field of Closed in microseconds."""
    about = f"{workload}, {connections(level)}"
    label = {"p50_us": "p50", "p99_us": "p99", "cpu_us": "CPU per request"}[what]
    target = f"{label} at most {f'{most:g} times ' if most != 1 else ''}{other}'s"
    rival = _rival(document, other, workload, level, what)
    found = paired(document, (names.OURS, rival), workload, level, what) if rival else None
    if rival is None or found is None:
        yield unknown(about, target, other if rival is None else names.OURS)
        return
    yield Verdict(about, target, found.text(f" us{_of(rival, other)}"), found.times <= most)


def _of(server: str, other: str) -> str:
    return "" if server == other else f" of {server}"


def _best_other(document: Document, level: int, least: float) -> Iterator[Verdict]:
    about, target = f"mlp, {connections(level)}", f"at least {least:g} times the best other neighbour's requests/s"
    rows = [row for row in document.closed if row.workload == names.MLP and row.connections == level]
    others = sorted({row.server for row in rows if not row.server.startswith(names.TRITON)} - names.OWN)
    rates = {server: closed_median(document, server, names.MLP, level, "rate") or 0.0 for server in others}
    best = max(rates, key=lambda server: rates[server], default=None)
    found = paired(document, (names.OURS, best), names.MLP, level, "rate") if best else None
    if best is None or found is None:
        yield unknown(about, target, f"any neighbour but {names.TRITON}" if best is None else names.OURS)
        return
    yield Verdict(about, target, found.text(f" of {best}"), found.times >= least)


def _batching_costs_nothing(document: Document) -> Iterator[Verdict]:
    about, target = "mlp, 1 connection", "p50 no worse than with batching off, within the range of its repeats"
    ours = closed_median(document, names.OURS, names.MLP, 1, "p50_us")
    off = Spread.of(row.p50_us for row in closed_of(document, names.UNBATCHED, names.MLP, 1))
    if ours is None or off is None:
        yield unknown(about, target, names.OURS if ours is None else names.UNBATCHED)
        return
    yield Verdict(about, target, f"{ours:,.0f} us to {off.text()} us", ours <= off.high)


def _even(document: Document, workload: str, most: float) -> Iterator[Verdict]:
    about, target = f"{workload}, open loop at 50 % load", f"p99.9 at most {most:g} times p50"
    rows = open_of(document, names.OURS, workload)
    tail, middle = Spread.of(row.p999_us for row in rows), Spread.of(row.p50_us for row in rows)
    if tail is None or middle is None or not middle.median:
        yield unknown(about, target, f"answers of {names.OURS}")
        return
    figure = f"{tail.median / middle.median:.1f} times ({tail.median:,.0f} to {middle.median:,.0f} us)"
    yield Verdict(about, target, figure, tail.median <= most * middle.median)


def _memory(document: Document) -> Iterator[Verdict]:
    about, target = "memory, demo's models, 2 workers", "at most 60 % of `mlflow models serve -w 2` with one model"
    ours = Spread.of(row.pss_mb for row in memory_of(document, names.OURS, names.DEMO))
    theirs = Spread.of(row.pss_mb for row in memory_of(document, names.MLFLOW, names.LINEAR))
    if ours is None or theirs is None:
        yield unknown(about, target, f"{names.OURS}, {names.DEMO}" if ours is None else names.MLFLOW)
        return
    share = ours.median / theirs.median
    yield Verdict(about, target, f"{share:.0%} ({ours.median:,.0f} to {theirs.median:,.0f} MB)", share <= 0.6)


def _start(document: Document) -> Iterator[Verdict]:
    about, target = "start to first answer, warm snapshot", "at most a third of `mlflow models serve`'s"
    ours = Spread.of(row.seconds for row in starts_of(document, names.OURS, names.RESTART))
    theirs = Spread.of(row.seconds for row in starts_of(document, names.MLFLOW, names.LINEAR))
    if ours is None or theirs is None:
        yield unknown(about, target, f"{names.OURS}, {names.RESTART}" if ours is None else names.MLFLOW)
        return
    share = ours.median / theirs.median
    figure = f"{share:.2f} of it ({ours.median:.2f} to {theirs.median:.2f} s)"
    yield Verdict(about, target, figure, share <= 1 / 3)


def _routing(document: Document) -> Iterator[Verdict]:
    whole = closed_median(document, names.OURS, names.LINEAR, 16, "cpu_us")
    one, many = (inside_of(document, scenario, names.ROUTING) for scenario in (names.ONE, names.MANY))
    for about, found in (("routing decision, 1 model", one), ("routing decision, 5,000 models", many)):
        target = "at most 3 % of the request's CPU"
        if found is None or whole is None:
            yield unknown(about, target, "routing" if found is None else f"{names.OURS}, linear, 16 connections")
        else:
            yield Verdict(about, target, f"{found / whole:.1%} ({found:.2f} of {whole:.1f} us)", found <= 0.03 * whole)
    if one is not None and many is not None:
        target = f"the same at 5,000 models as at 1 (up to {SAME:g} times)"
        yield Verdict("routing decision", target, f"{many / one:.2f} times ({many:.2f} to {one:.2f} us)", many <= SAME * one)


def _overload(document: Document) -> Iterator[Verdict]:
    ours = [row for row in document.overload if row.server in names.OWN - {names.ECHO}]
    if not ours:
        yield unknown("overload, 3 times capacity", "p99 of accepted requests at most 3 times that at light load", names.OURS)
    for row in ours:
        yield from _overloaded(row)


def _overloaded(row: Overload) -> Iterator[Verdict]:
    about = f"overload, {row.server}, {row.workload}, {row.wanted / row.capacity:.1f} times capacity"
    kept = row.ok_p99_us / row.light_p99_us
    target = "p99 of accepted requests at most 3 times that at light load"
    yield Verdict(about, target, f"{kept:.1f} times ({row.ok_p99_us:,.0f} to {row.light_p99_us:,.0f} us)", kept <= 3)
    lost = f"{row.other:,} other answers or failures, {row.unanswered:,} unanswered"
    yield Verdict(about, "the rest get 503 with Retry-After; nothing hangs", lost, row.other + row.unanswered == 0)
    flat = max(row.during_mb, row.after_mb) / row.before_mb
    figure = f"{row.before_mb:,.0f} MB before, {row.during_mb:,.0f} during, {row.after_mb:,.0f} after"
    yield Verdict(about, f"memory stays flat (up to {SAME:g} times)", figure, flat <= SAME)


TARGETS: Final[tuple[Judge, ...]] = (
    partial(_faster, workload="linear", other=names.TRITON, level=16, least=1.5),
    partial(_faster, workload="linear", other=names.TRITON, level=64, least=1),
    partial(_at_most, workload="linear", other=names.TRITON, level=16, what="cpu_us", most=1),
    partial(_at_most, workload="linear", other=names.ECHO, level=16, what="cpu_us", most=2.2),
    partial(_faster, workload="linear", other=names.MLFLOW, level=16, least=50),
    partial(_faster, workload="linear", other=names.MLFLOW_FAST, level=16, least=6),
    partial(_faster, workload="linear", other=names.KSERVE, level=16, least=7),
    partial(_faster, workload="linear", other=names.LITSERVE, level=16, least=10),
    partial(_faster, workload="linear", other=names.BENTOML, level=16, least=10),
    partial(_faster, workload="linear", other=names.MLSERVER, level=16, least=10),
    partial(_at_most, workload="linear", other=names.TRITON, level=16, what="p99_us", most=1),
    partial(_at_most, workload="linear", other=names.TRITON, level=64, what="p99_us", most=1),
    partial(_at_most, workload="linear", other=names.ECHO, level=1, what="p50_us", most=2),
    partial(_faster, workload="forest", other=names.MLFLOW, level=16, least=50),
    partial(_faster, workload="mlp", other=names.TRITON, level=16, least=1),
    partial(_faster, workload="mlp", other=names.TRITON, level=64, least=1),
    partial(_best_other, level=16, least=4),
    partial(_best_other, level=64, least=4),
    partial(_at_most, workload="mlp", other=names.UNBATCHED, level=64, what="cpu_us", most=0.3),
    _batching_costs_nothing,
    partial(_even, workload="linear", most=10),
    partial(_even, workload="mlp", most=10),
    _memory,
    _start,
    _routing,
    _overload,
    growth,
    instructions,
    workers,
)
