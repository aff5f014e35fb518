"""How many instructions one whole prediction takes as the registry grows: what caches and other tenants do not blur.

One process under callgrind holds all scenarios, and counts once they are loaded. It writes its counters out at each call of
`MARK`: after some requests, and again when their metrics and log lines are made. A mark itself costs too little to show.

Counted is the thread that answers, which here makes all of the metrics and lines, as often as a worker under load: what has
the same labels is added once, and a request takes a hundred times as long here.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from . import names
from .document import Inside, Missing
from .inside import told_by
from .scenarios import PERIOD, Asked, Calls, read_asked, started

MARK = "getsid"
"""A function of the C library that nothing else calls."""
PERIODS, REPEATS = 2, 1
LEAD: Final = 6
"""Arms are drawn: after so many requests for each, hardly one is left that would make its metrics anew, at half a million."""
_LIMIT_SECONDS = 400
_FILE = "counted"


def instructions(asked: Asked, folder: Path) -> Iterator[Inside | Missing]:
    """Count in a process of its own. Raises RuntimeError and subprocess.TimeoutExpired."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        yield Missing(0, names.OURS, names.INSTRUCTIONS, "valgrind is not installed: apt-get install valgrind")
        return
    options = [
        "--tool=callgrind",
        "--quiet",
        "--instr-atstart=no",
        "--separate-threads=yes",
        f"--dump-before={MARK}",
        f"--callgrind-out-file={folder / _FILE}",
    ]
    environment = ["env", "PYTHONHASHSEED=0"]
    command = [*environment, valgrind, *options, sys.executable, "-m", f"{__package__}.instructions"]
    told_by(command, asked, folder, _LIMIT_SECONDS)
    yield from counted(names.COUNTED, totals(folder))


def totals(folder: Path) -> list[int]:
    """Instructions of the first thread up to each mark, since the one before."""
    files = sorted(folder.glob(f"{_FILE}.*-01"), key=lambda file: int(file.suffix[1:-3]))
    found = [re.search(r"(?m)^(?:totals|summary): (\d+)", file.read_text(errors="replace")) for file in files]
    return [int(one[1]) if one else 0 for one in found]


def counted(scenarios: Sequence[str], found: Sequence[int]) -> Iterator[Inside]:
    """Instructions for one request in each scenario, from those up to each mark.

    Raises RuntimeError where there are more or fewer of them.
    """
    block = 1 + 2 * PERIODS
    wanted = REPEATS * len(scenarios) * block
    if len(found) != wanted:
        raise RuntimeError(f"callgrind wrote {len(found)} counts of {wanted}")
    for number, scenario in enumerate(scenarios):
        its = [found[first : first + block] for first in range(number * block, wanted, len(scenarios) * block)]
        for place, what in ((1, names.INSTRUCTIONS), (2, names.RECORDING)):
            counts = [count / PERIOD for one in its for count in one[place::2]]
            yield Inside(0, scenario, what, min(counts), statistics.median(counts))


def _run() -> None:
    asked, folder = read_asked()
    with started(asked, folder, names.COUNTED) as scenarios:
        switch = ["callgrind_control", "--instr=on", str(os.getpid())]  # to load under instrumentation takes minutes
        subprocess.run(switch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30, check=True)
        for _ in range(REPEATS):
            for calls in scenarios.values():
                _count(calls)


def _count(calls: Calls) -> None:
    """What is to be left out, a mark, and then by turns requests and what is made of them, each with its mark."""
    for _ in range(math.ceil(LEAD * calls.lead / PERIOD) * PERIOD):  # whole periods are written, and have made their metrics
        calls.request()
    calls.settle()
    os.getsid(0)
    for _ in range(PERIODS):
        for _ in range(PERIOD):
            calls.request()
        os.getsid(0)
        calls.settle()
        os.getsid(0)


if __name__ == "__main__":
    _run()
