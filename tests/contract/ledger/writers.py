"""Forks a process for each line it reads: one that takes over and appends until all decisions are written.

The line is the file to which the process writes what it was told is in the ledger, and `done` at the end. It is killed at any
point by the test. What everybody needs is imported once, here. At the end of the lines their exit codes are printed.
"""

import os
import random
import sys
import time
import traceback
from pathlib import Path
from typing import TextIO

from registry_hooks.ledger import Draft, open_ledger
from stagedoor.errors import LeaseLost, LedgerUnavailable


def main(place: str, decisions: int) -> None:
    started: list[int] = []
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _child(place, Path(line.strip()), decisions)
        started.append(pid)
        _say(sys.stdout, str(pid))
    _say(sys.stdout, " ".join(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])) for pid in started))


def _child(place: str, told: Path, decisions: int) -> None:
    code = 1
    try:
        random.seed()
        with told.open("w", encoding="utf-8") as out:
            _write_all(place, told.name, decisions, out)
        code = 0
    except BaseException:  # noqa: BLE001  a fork must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(code)


def _write_all(place: str, name: str, decisions: int, out: TextIO) -> None:
    ledger, generation = None, -1
    for number in random.sample(range(decisions), decisions):
        decision = Draft(f"d{number}", time.time(), f"m{number % 3}", "held", name, None, "1", number, "", {}, {"stable": "1"})
        while True:
            try:
                if ledger is None:
                    ledger = open_ledger(place)
                    generation = ledger.begin_generation(name)
                entry = ledger.append(decision, generation)
            except LeaseLost:
                generation, _ = ledger.generation()  # as no controller would: here all are to write at once
            except LedgerUnavailable:
                continue  # a machine with much else to do; the test's deadline ends it
            else:
                _say(out, f"{entry.key} {entry.seq} {entry.hash}")
                break
    _say(out, "done")


def _say(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
