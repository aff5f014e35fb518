"""How many instructions one whole prediction takes as the registry grows: what caches and other tenants do not blur.

One process under callgrind holds all scenarios, and counts once they are loaded. It writes its counters out at each call of
`MARK`: after so many requests, and after four times as many. What the marks cost is in both, and not in their difference.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import names
from .document import Inside, Missing
from .inside import told_by
from .scenarios import Asked, Call, read_asked, started

MARK = "getsid"
"""A function of the C library that nothing else calls."""
FEW, MANY, REPEATS = 50, 200, 3
_LIMIT_SECONDS = 300
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
        f"--dump-before={MARK}",
        f"--callgrind-out-file={folder / _FILE}",
    ]
    environment = ["env", "PYTHONHASHSEED=0"]
    command = [*environment, valgrind, *options, sys.executable, "-m", f"{__package__}.instructions"]
    told_by(command, asked, folder, _LIMIT_SECONDS)
    yield from counted(names.COUNTED, totals(folder))


def totals(folder: Path) -> list[int]:
    """Instructions up to each mark, since the one before."""
    files = sorted(folder.glob(f"{_FILE}.*"), key=lambda file: int(file.suffix[1:]))
    found = [re.search(r"(?m)^(?:totals|summary): (\d+)", file.read_text(errors="replace")) for file in files]
    return [int(one[1]) if one else 0 for one in found]


def counted(scenarios: Sequence[str], found: Sequence[int]) -> Iterator[Inside]:
    """Instructions of one request in each scenario, from those up to each mark: before, few and many, again and again.

    Raises RuntimeError where there are more or fewer of them.
    """
    wanted = 3 * REPEATS * len(scenarios)
    if len(found) != wanted:
        raise RuntimeError(f"callgrind wrote {len(found)} counts of {wanted}")
    costs = [(many - few) / (MANY - FEW) for few, many in zip(found[1::3], found[2::3], strict=True)]
    for number, scenario in enumerate(scenarios):
        its = costs[number :: len(scenarios)]
        yield Inside(0, scenario, names.INSTRUCTIONS, min(its), statistics.median(its))


def _run() -> None:
    asked, folder = read_asked()
    with started(asked, folder, names.COUNTED) as scenarios:
        switch = ["callgrind_control", "--instr=on", str(os.getpid())]  # to load under instrumentation takes minutes
        subprocess.run(switch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30, check=True)
        for _ in range(REPEATS):
            for calls in scenarios.values():
                _call(calls.request, calls.lead)
                os.getsid(0)
                _call(calls.request, FEW)
                os.getsid(0)
                _call(calls.request, MANY)
                os.getsid(0)


def _call(call: Call, times: int) -> None:
    for _ in range(times):
        call()


if __name__ == "__main__":
    _run()
