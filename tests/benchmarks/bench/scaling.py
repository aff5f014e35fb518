"""What a request costs as models, arms and workers grow in number, and whether it may. Pure, as bench.targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from . import names
from .document import Document
from .figures import Ratio, closed_of, inside_of, paired
from .verdict import SAME, Verdict, unknown

EXACT: Final = 1.05
"""Ratio up to which two numbers of instructions count as the same: caches and other tenants do not change them."""

GREATER: Final = (2, 4)
"""Numbers of workers that are held against as many gateways of one."""


def growth(document: Document) -> Iterator[Verdict]:
    """Times, in which the processor's caches show."""
    target = f"cost of a request as with 1 model (up to {SAME:g} times)"
    base = inside_of(document, names.ONE, names.REQUEST)
    for scenario in names.TIMED:
        found = inside_of(document, scenario, names.REQUEST)
        if base is None or found is None:
            yield unknown(scenario, target, "cost of a request in the process")
        else:
            figure = f"{found / base:.2f} times ({found:.1f} to {base:.1f} us{_of_the_model(document, scenario)})"
            yield Verdict(scenario, target, figure, found <= SAME * base)


def _of_the_model(document: Document, scenario: str) -> str:
    """What of it is the runtime's own: its sessions displace each other in the processor's caches whoever asks them."""
    base, found = (inside_of(document, one, names.MODEL) for one in (names.ONE, scenario))
    return "" if base is None or found is None else f"; the model by itself {found:.1f} to {base:.1f} us"


def beyond_fifty(document: Document) -> str:
    """Whether cost goes on growing from 50 models asked in turn to 200, or took a step from one to several: for information.

    Empty where one of the three was not measured.
    """
    one, fifty, most = (inside_of(document, what, names.REQUEST) for what in (names.ONE, names.IN_TURN, names.IN_TURN_200))
    if not (one and fifty and most):
        return ""
    return (
        f"Asked in turn, 50 models cost {fifty / one:.2f} times what 1 does ({fifty:.1f} to {one:.1f} us), and 200 models"
        f" {most / fifty:.2f} times what 50 do ({most:.1f} to {fifty:.1f} us): what is a step from one to several shows in"
        " the first only, what goes on growing in both."
    )


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
    """More processes than one share caches and cores with each other and with the driver, whoever they are.

    So their control is as many gateways of one worker each under the same load.
    """
    for count in GREATER:
        about, target = f"{count} workers", f"CPU per request at most {SAME:g} times that of {count} gateways of 1 worker each"
        servers = (of_workers(names.OURS, count), separate(count))
        found = paired(document, servers, names.WORKERS, 16, "cpu_us")
        if found is None:
            yield unknown(about, target, *_lacking(document, servers))
        else:
            yield Verdict(about, target, found.text(" us"), found.times <= SAME)


def of_workers(server: str, count: int) -> str:
    """What a server with so many workers is called in the readings."""
    return f"{server} -w {count}"


def separate(count: int) -> str:
    """What so many gateways of one worker each are called in the readings."""
    return f"{count} x {of_workers(names.OURS, 1)}"


def beside_one_worker(document: Document, server: str, count: int) -> Ratio | None:
    """CPU per request with so many workers by that of the same server with one, which leaves the driver a core to itself."""
    return paired(document, (of_workers(server, count), of_workers(server, 1)), names.WORKERS, 16, "cpu_us")


def _lacking(document: Document, wanted: Sequence[str]) -> list[str]:
    return [server for server in wanted if not closed_of(document, server, names.WORKERS, 16)] or ["CPU per request"]
