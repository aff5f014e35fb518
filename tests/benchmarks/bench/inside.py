"""A whole prediction, its routing decision and its model alone, in one process and without sockets, as the registry grows.

The scenarios take turns, and the least time counts, piece by piece: a piece is short enough to have the machine for itself at
times. It is CPU time of the thread that answers. As a process it reads what is asked (bench.scenarios), and writes JSON.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Final

from . import names
from .document import Inside
from .scenarios import PERIOD, Asked, Call, Calls, read_asked, started

PIECE: Final = 16
"""Calls whose time is read at once."""
ENOUGH_SECONDS: Final = 60.0
"""No repeat begins after these."""
_LIMIT_SECONDS = 300


def inside(asked: Asked, folder: Path) -> Iterator[Inside]:
    """Measure in a process of its own. Raises RuntimeError and subprocess.TimeoutExpired."""
    for row in json.loads(told_by([sys.executable, "-m", f"{__package__}.inside"], asked, folder, _LIMIT_SECONDS)):
        yield Inside(**row)


def told_by(command: list[str], asked: Asked, folder: Path, seconds: float) -> bytes:
    """The last line that a process of this package writes; its log lies in `folder`, which is new.

    Raises RuntimeError if it fails and subprocess.TimeoutExpired if it takes longer.
    """
    folder.mkdir(parents=True)
    with (folder / "log").open("wb") as log:  # the request log, as in a gateway
        told = subprocess.run(
            command,
            cwd=Path(__file__).parents[__package__.count(".") + 1],
            input=asked.to_json(folder),
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=seconds,
            check=False,
        )
    if told.returncode:
        last = (folder / "log").read_text(errors="replace").splitlines()[-1:]
        raise RuntimeError(f"the process ended with {told.returncode}: {''.join(last)}")
    return (told.stdout.splitlines() or [b"null"])[-1]


def _measure() -> list[Inside]:
    asked, folder = read_asked()
    found: dict[tuple[str, str], list[list[float]]] = {}
    with started(asked, folder, names.SCENARIOS) as scenarios:
        end = time.monotonic() + ENOUGH_SECONDS
        for number in range(asked.repeats):
            if number and time.monotonic() > end:
                break
            for scenario, calls in scenarios.items():
                for what, call in _whats(calls).items():
                    found.setdefault((scenario, what), []).append(_time(call, calls.lead))
    return [summary(*key, times) for key, times in found.items()]


def summary(scenario: str, what: str, found: Sequence[Sequence[float]]) -> Inside:
    """Microseconds of one call, from the seconds of each piece of each repeat."""
    least = sum(min(piece) for piece in zip(*found, strict=True))
    return Inside(0, scenario, what, least * 1e6 / PERIOD, statistics.median(map(sum, found)) * 1e6 / PERIOD)


def _whats(calls: Calls) -> dict[str, Call]:
    request, settle = calls.request, calls.settle

    def settled() -> None:
        request()
        settle()

    return {names.REQUEST: settled, names.ROUTING: calls.routing, names.MODEL: calls.model}


def _time(call: Call, lead: int) -> list[float]:
    """Seconds of pieces that are as many calls together as have all that is done now and then once.

    What the scenarios before have put into the caches is out after `lead` calls; made up to whole periods, so that what is done
    now and then falls into the same piece each time.
    """
    for _ in range(math.ceil(lead / PERIOD) * PERIOD):
        call()
    marks = [time.thread_time()]
    for _ in range(PERIOD // PIECE):
        for _ in range(PIECE):
            call()
        marks.append(time.thread_time())
    return [after - before for before, after in pairwise(marks)]


if __name__ == "__main__":
    print(json.dumps([asdict(row) for row in _measure()]))
