"""Several processes at one ledger, killed at random: no gap, nothing twice, nothing lost that was said to be written."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry_hooks.ledger import find_ledger

from .conftest import NewPlace

ROOT = Path(__file__).parents[3]
DECISIONS = 60
WRITERS = 4
KILLS = 6
SECONDS = 120.0


class Writers:
    """Processes that all want to write the same decisions; see `writers.py`."""

    def __init__(self, place: str | Path, folder: Path) -> None:
        self._folder = folder
        self._running: dict[int, Path] = {}
        command = [sys.executable, Path(__file__).with_name("writers.py"), str(place), str(DECISIONS)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
        self._parent = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._started = 0

    def start(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._started += 1
        told = self._folder / f"writer-{self._started}"
        told.touch()
        self._parent.stdin.write(f"{told}\n")
        self._parent.stdin.flush()
        self._running[int(self._parent.stdout.readline())] = told

    def kill_one(self) -> None:
        """One that is writing, at any moment; none if all are done."""
        end = time.monotonic() + SECONDS
        while not (begun := [pid for pid, told in self._running.items() if told.stat().st_size]):
            assert time.monotonic() < end, "no writer writes"
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.1))  # noqa: S311  no secret
        writing = [pid for pid in begun if not self._running[pid].read_text().endswith("done\n")]
        if writing:
            victim = random.choice(writing)  # noqa: S311  no secret
            os.kill(victim, signal.SIGKILL)
            del self._running[victim]

    def finish(self) -> list[int]:
        """How each ended: 0, or -9 for those that were killed."""
        answer, _ = self._parent.communicate(timeout=SECONDS)
        return [int(code) for code in answer.split()]

    def told(self) -> set[tuple[str, ...]]:
        """All whole lines: what they were told is in the ledger."""
        texts = [path.read_text() for path in self._folder.iterdir()]
        lines = {line for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")} - {"done\n"}
        return {tuple(line.split()) for line in lines}

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.communicate(timeout=10)


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
def test_killed_writers_leave_a_gapless_chain_with_each_decision_once(new_place: NewPlace, tmp_path: Path) -> None:
    place = new_place()
    writers = Writers(place, tmp_path)
    try:
        for _ in range(WRITERS):  # all make the ledger at once
            writers.start()
        for _ in range(KILLS):
            writers.kill_one()
            writers.start()
        codes = writers.finish()
    finally:
        writers.end()
    assert set(codes) == {0, -9}
    assert codes[-1] == 0
    ledger = find_ledger(place)
    found = ledger.verify()
    entries = [entry for model in ("m0", "m1", "m2") for entry in ledger.history(model, limit=DECISIONS)]
    assert (found.sound, found.rows) == (True, DECISIONS), found.why
    assert {entry.seq for entry in entries} == set(range(1, DECISIONS + 1))
    assert {entry.key for entry in entries} == {f"d{number}" for number in range(DECISIONS)}
    assert writers.told() == {(entry.key, str(entry.seq), entry.hash) for entry in entries}
    in_order = sorted(entries, key=lambda entry: entry.seq)
    assert [entry.generation for entry in in_order] == sorted(entry.generation for entry in in_order)
