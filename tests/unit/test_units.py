"""Each caller of an experiment is counted once, by all workers together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.units import BITS, MAX_AGE_SECONDS, OPEN_AT_ONCE, UnitBook, sweep
from stagedoor.domain.traffic import Arm, Route, assign, point_of

SALT = b"salt"


@given(units=st.lists(st.integers(0, 2**64 - 1), max_size=30))
def test_a_unit_is_first_once(tmp_path_factory: pytest.TempPathFactory, units: list[int]) -> None:
    book = UnitBook(tmp_path_factory.mktemp("units"))
    seen: set[int] = set()
    for unit in units:
        assert book.is_first("m", SALT, unit) == (unit % BITS not in seen)
        seen.add(unit % BITS)
    book.close()


def test_experiments_do_not_know_each_others_units(tmp_path: Path) -> None:
    book = UnitBook(tmp_path)
    assert [book.is_first(model, salt, 5) for model, salt in (("m", SALT), ("m", b"other"), ("n", SALT))] == [True] * 3
    book.close()


def test_a_restarted_worker_remembers(tmp_path: Path) -> None:
    first = UnitBook(tmp_path)
    assert first.is_first("m", SALT, 5)
    first.close()
    assert not UnitBook(tmp_path).is_first("m", SALT, 5)


CHILD = """
import sys
sys.path[:0] = ["platform", "."]
from pathlib import Path
from serving.units import UnitBook
from stagedoor.domain.traffic import point_of
book = UnitBook(Path(sys.argv[1]))
print(sum(book.is_first("m", b"salt", point_of(b"salt", str(n).encode())) for n in range(20_000)))
"""


def test_processes_at_the_same_units_count_each_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    counted = sum(int(child.communicate(timeout=120)[0]) for child in children)
    bits = {point_of(b"salt", str(n).encode()) % BITS for n in range(20_000)}
    assert counted == len(bits)
    assert len(bits) > 19_900, "few units share a bit"


def test_the_bit_of_a_unit_says_nothing_of_its_arm() -> None:
    arms = (Arm("champion", "1", 9_000), Arm("challenger", "2", 1_000))
    route = Route(1, arms, SALT)
    bits = [p % BITS for p in (assign(route, str(n).encode()).point for n in range(20_000)) if p is not None and p >> 60 == 0]
    assert min(bits) < BITS // 100
    assert max(bits) > BITS - BITS // 100


def test_bitmaps_of_experiments_long_past_are_removed(tmp_path: Path) -> None:
    book = UnitBook(tmp_path)
    book.is_first("m", SALT, 5)
    book.is_first("n", SALT, 5)
    old, kept = sorted(tmp_path.iterdir())
    written = kept.stat().st_mtime
    os.utime(old, (0, written - MAX_AGE_SECONDS - 1))
    sweep(tmp_path, written + 1)
    assert list(tmp_path.iterdir()) == [kept]
    book.close()


def test_a_worker_keeps_few_files_open(tmp_path: Path) -> None:
    book = UnitBook(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(OPEN_AT_ONCE + 20):
        assert book.is_first(f"m{number}", SALT, 5)
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 2 * OPEN_AT_ONCE
    assert not book.is_first("m0", SALT, 5), "a file that was closed is read again"
    book.close()


def test_where_no_file_can_be_had_no_unit_is_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not UnitBook(tmp_path / "file").is_first("m", SALT, 5)
