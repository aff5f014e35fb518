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
    for scenario in names.TIMED:
        yield _beside_one(document, scenario, names.REQUEST, target, SAME)


def instructions(document: Document) -> Iterator[Verdict]:
    """Numbers of instructions, in which they do not."""
    target = f"instructions of a request as with 1 model (up to {EXACT:g} times)"
    for scenario in names.COUNTED[1:]:
        yield _beside_one(document, scenario, names.INSTRUCTIONS, target, EXACT)


def _beside_one(document: Document, scenario: str, what: str, target: str, most: float) -> Verdict:
    base, found = (inside_of(document, one, what) for one in (names.ONE, scenario))
    if base is None or found is None:
        return unknown(scenario, target, f"{what} in the process")
    figures = f"{found:.1f} to {base:.1f} us" if what == names.REQUEST else f"{found:,.0f} to {base:,.0f}"
    return Verdict(scenario, target, f"{found / base:.2f} times ({figures})", found <= most * base)


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
