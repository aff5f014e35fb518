"""What a request costs as models, arms and workers grow in number, and whether it may. Pure, as bench.targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from . import names
from .document import Document
from .figures import Ratio, closed_of, inside_of, paired
from .verdict import SAME, Verdict, unknown

EXACT: Final = 1.05
"""Ratio up to which two numbers of instructions count as the same: caches and other tenants do not change them."""


def growth(document: Document) -> Iterator[Verdict]:
    """Times, in which the processor's caches show."""
    target = f"cost of a request as with 1 model (up to {SAME:g} times)"
    base = inside_of(document, names.ONE, names.REQUEST)
    for scenario in names.TIMED:
        found = inside_of(document, scenario, names.REQUEST)
        if base is None or found is None:
            yield unknown(scenario, target, "cost of a request in the process")
        else:
            yield Verdict(scenario, target, f"{found / base:.2f} times ({found:.1f} to {base:.1f} us)", found <= SAME * base)


def instructions(document: Document) -> Iterator[Verdict]:
    """Numbers of instructions, in which they do not."""
    target = f"instructions of a request as with 1 model (up to {EXACT:g} times)"
    for scenario in (names.MANY, names.IN_TURN, names.ARMS):
        base, found = (whole_of(document, one) for one in (names.ONE, scenario))
        if base is None or found is None:
            yield unknown(scenario, target, "instructions in the process")
            continue
        figure = f"{sum(found) / sum(base):.3f} times ({sum(found):,.0f} to {sum(base):,.0f}; {found[0] / base[0]:.3f} times"
        yield Verdict(scenario, target, f"{figure} without metrics and log)", sum(found) <= EXACT * sum(base))


def whole_of(document: Document, scenario: str) -> tuple[float, float] | None:
    """Instructions of one request itself, and of its metrics and log line: medians, as arms are drawn and luck varies."""
    found = {row.what: row.median_us for row in document.inside if row.scenario == scenario}
    own, recording = found.get(names.INSTRUCTIONS), found.get(names.RECORDING)
    return None if own is None or recording is None else (own, recording)


def workers(document: Document) -> Iterator[Verdict]:
    """More processes than one share caches and cores: what that costs any server, the bare echo says."""
    for count in (2, 4):
        about, target = f"{count} workers", f"CPU per request by that with 1 at most {SAME:g} times what it is with the echo"
        ours, floor = (_beside_one_worker(document, server, count) for server in (names.OURS, names.ECHO))
        if ours is None or floor is None:
            yield unknown(about, target, *_lacking(document, count))
            continue
        figure = f"{ours.text(' us')}; the echo {floor.text(' us')}"
        yield Verdict(about, target, figure, ours.times <= SAME * floor.times)


def of_workers(server: str, count: int) -> str:
    """What a server with so many workers is called in the readings."""
    return f"{server} -w {count}"


def _beside_one_worker(document: Document, server: str, count: int) -> Ratio | None:
    return paired(document, (of_workers(server, count), of_workers(server, 1)), names.WORKERS, 16, "cpu_us")


def _lacking(document: Document, count: int) -> list[str]:
    wanted = [of_workers(server, number) for server in (names.OURS, names.ECHO) for number in (1, count)]
    return [server for server in wanted if not closed_of(document, server, names.WORKERS, 16)] or ["CPU per request"]
