"""Several processes at one ledger, killed at random: no gap, nothing twice, nothing lost that was said to be written."""

import os
import random
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
KILLS = 4


class Writers:
    """Processes that all want to write the same decisions."""

    def __init__(self, place: str | Path, folder: Path) -> None:
        self._place, self._folder = place, folder
        self._started = 0
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, count: int) -> None:
        for _ in range(count):
            self._started += 1
            command = [sys.executable, Path(__file__).with_name("writers.py"), str(self._place), f"writer-{self._started}"]
            environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
            with (self._folder / f"{self._started}.out").open("wb") as out:
                self._running[self._started] = subprocess.Popen([*command, str(DECISIONS)], env=environment, stdout=out)

    def kill_one(self) -> None:
        """One that is writing, at any moment; none if all have finished."""
        time.sleep(random.uniform(0, 0.1))  # noqa: S311  no secret
        victims = [writer for number, writer in self._running.items() if writer.poll() is None and self._has_written(number)]
        if victims:
            victim = random.choice(victims)  # noqa: S311  no secret
            victim.kill()
            victim.wait(10)

    def wait_for_one(self, seconds: float) -> None:
        """Until the newest writes."""
        end = time.monotonic() + seconds
        while not self._has_written(self._started):
            assert time.monotonic() < end, "a writer does not write"
            time.sleep(0.01)

    def _has_written(self, number: int) -> bool:
        return (self._folder / f"{number}.out").stat().st_size > 0

    def finish(self, seconds: float) -> list[int]:
        """How each ended: 0, or -9 for those that were killed."""
        end = time.monotonic() + seconds
        return [writer.wait(max(0.1, end - time.monotonic())) for writer in self._running.values()]

    def said(self) -> set[tuple[str, ...]]:
        """All whole lines: what they were told is in the ledger."""
        texts = [path.read_text() for path in self._folder.glob("*.out")]
        return {tuple(line.split()) for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")}

    def end(self) -> None:
        for writer in self._running.values():
            if writer.poll() is None:
                writer.kill()
            writer.wait(10)


@pytest.mark.slow
def test_killed_writers_leave_a_gapless_chain_with_each_decision_once(new_place: NewPlace, tmp_path: Path) -> None:
    place = new_place()
    writers = Writers(place, tmp_path)
    try:
        writers.start(WRITERS)  # all four make the ledger at once
        for _ in range(KILLS):
            writers.wait_for_one(60)
            writers.kill_one()
            writers.start(1)
        assert set(writers.finish(90)) <= {0, -9}
        assert writers.finish(0)[-1] == 0
    finally:
        writers.end()
    ledger = find_ledger(place)
    found = ledger.verify()
    entries = [entry for model in ("m0", "m1", "m2") for entry in ledger.history(model, limit=DECISIONS)]
    assert (found.sound, found.rows) == (True, DECISIONS), found.why
    assert {entry.seq for entry in entries} == set(range(1, DECISIONS + 1))
    assert {entry.key for entry in entries} == {f"d{number}" for number in range(DECISIONS)}
    assert writers.said() == {(entry.key, str(entry.seq), entry.hash) for entry in entries}
    in_order = sorted(entries, key=lambda entry: entry.seq)
    assert [entry.generation for entry in in_order] == sorted(entry.generation for entry in in_order)
