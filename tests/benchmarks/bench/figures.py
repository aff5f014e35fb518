"""From readings to figures: medians of interleaved repeats, with minimum and maximum."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import NamedTuple, Self

from .document import Closed, Document, Memory, Open, Start


class Spread(NamedTuple):
    """Median, least and largest of some repeats."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """None where there are no repeats."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found)) if found else None

    def text(self, scale: float = 1.0, digits: int = 0) -> str:
        """`median (least to largest)`; the median alone where all are written alike."""
        middle, low, high = (f"{value * scale:,.{digits}f}" for value in self)
        return middle if low == high else f"{middle} ({low} to {high})"


class Ratio(NamedTuple):
    """How many times another's figure one's own is: `times` is the median over rounds, `low` and `high` are of single rounds.

    `own` and `other` are the medians of the figures themselves, over all rounds.
    """

    times: float
    low: float
    high: float
    own: float
    other: float

    def text(self, others: str = "") -> str:
        """`1.31 times (1.22 to 1.40; 11,602 to 8,925 of triton)`: `others` says whose, or in what unit. The range, if any."""
        spread = f"{self.low:.2f} to {self.high:.2f}; " if f"{self.low:.2f}" != f"{self.high:.2f}" else ""
        return f"{self.times:.2f} times ({spread}{self.own:,.0f} to {self.other:,.0f}{others})"


def closed_of(document: Document, server: str, workload: str, level: int) -> list[Closed]:
    """The repeats of one server at one level."""
    wanted = (server, workload, level)
    return [row for row in document.closed if (row.server, row.workload, row.connections) == wanted]


def closed_median(document: Document, server: str, workload: str, level: int, what: str) -> float | None:
    """The median of one field of `Closed`; None where it was not measured."""
    found = Spread.of(getattr(row, what) for row in closed_of(document, server, workload, level))
    return found.median if found else None


def paired(document: Document, servers: tuple[str, str], workload: str, level: int, what: str) -> Ratio | None:
    """The first server's figure by the second's at the same level, round by round: the machine's speed then stands in both.

    Where they have no round in common, the medians are compared. None where one was not measured, or the other's is nothing.
    """
    own, others = (
        {(row.run, row.round): float(getattr(row, what)) for row in closed_of(document, one, workload, level)}
        for one in servers
    )
    if not own or not others:
        return None
    medians = statistics.median(own.values()), statistics.median(others.values())
    times = Spread.of(figure / others[when] for when, figure in own.items() if others.get(when))
    if times is None:
        times = Spread.of([medians[0] / medians[1]] if medians[1] else [])
    return Ratio(*times, *medians) if times else None


def open_of(document: Document, server: str, workload: str) -> list[Open]:
    """The open-loop repeats of one server."""
    return [row for row in document.open if (row.server, row.workload) == (server, workload)]


def memory_of(document: Document, server: str, workload: str) -> list[Memory]:
    """The memory readings of one server."""
    return [row for row in document.memory if (row.server, row.workload) == (server, workload)]


def starts_of(document: Document, server: str, workload: str) -> list[Start]:
    """The start times of one server."""
    return [row for row in document.start if (row.server, row.workload) == (server, workload)]


def inside_of(document: Document, scenario: str, what: str) -> float | None:
    """Least microseconds of one in-process measurement."""
    found = [row.least_us for row in document.inside if (row.scenario, row.what) == (scenario, what)]
    return min(found) if found else None


def servers_of(document: Document, workload: str) -> list[str]:
    """The servers measured with it in closed loop, the fastest at the most common level of comparison (16) first."""
    names = {row.server for row in document.closed if row.workload == workload}

    def rank(server: str) -> tuple[float, str]:
        rates = [row.rate for row in document.closed if (row.server, row.workload) == (server, workload)]
        at_16 = closed_median(document, server, workload, 16, "rate")
        return (-(at_16 if at_16 is not None else max(rates)), server)

    return sorted(names, key=rank)


def levels_of(document: Document, workload: str) -> list[int]:
    """The numbers of connections measured with it."""
    return sorted({row.connections for row in document.closed if row.workload == workload})


def connections(level: int) -> str:
    """The level in words."""
    return f"{level} connection{'' if level == 1 else 's'}"
