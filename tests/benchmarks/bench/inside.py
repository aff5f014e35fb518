"""A whole prediction and its routing decision, in one process and without sockets, as the registry grows.

The scenarios take turns, and the least time counts. As a process it reads what is asked (bench.scenarios), and writes JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from . import names
from .document import Inside
from .scenarios import Asked, Call, read_asked, started

CALLS = 25
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
    found: dict[tuple[str, str], list[float]] = {}
    with started(asked, folder, names.SCENARIOS) as scenarios:
        for _ in range(asked.repeats):
            for scenario, calls in scenarios.items():
                for what, call in ((names.REQUEST, calls.request), (names.ROUTING, calls.routing)):
                    found.setdefault((scenario, what), []).append(_time(call, calls.lead))
    return [Inside(0, *key, min(times), statistics.median(times)) for key, times in found.items()]


def _time(call: Call, lead: int) -> float:
    """Microseconds of one call. What the scenarios before have put into the caches is out after `lead` calls."""
    for _ in range(lead):
        call()
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS * 1e6


if __name__ == "__main__":
    print(json.dumps([asdict(row) for row in _measure()]))
