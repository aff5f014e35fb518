"""One contract, for the lock on a file and the one of PostgreSQL: one holder, whatever becomes of it."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry_hooks.lease import AdvisoryLease, FileLease, Lease, build_lease
from registry_hooks.ledger import Ledger, open_ledger
from stagedoor.errors import LeaseLost, LedgerUnavailable
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

from .conftest import NewPlace, draft

ROOT = Path(__file__).parents[3]


@pytest.fixture
def where(new_place: NewPlace, bare: str | Path) -> str | Path:
    return new_place(bare)


@pytest.fixture
def ledger(where: str | Path) -> Ledger:
    return open_ledger(where)


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    return StatePaths(tmp_path)


@pytest.fixture
def new_lease(ledger: Ledger, paths: StatePaths) -> Iterator[Callable[[], Lease]]:
    """A contender for the same lease."""
    made: list[Lease] = []

    def make() -> Lease:
        made.append(build_lease(Settings(), paths, ledger))
        return made[-1]

    yield make
    for lease in made:
        lease.release()


def test_the_lock_stands_where_the_ledger_does(kind: str, new_lease: Callable[[], Lease]) -> None:
    assert isinstance(new_lease(), FileLease if kind == "sqlite" else AdvisoryLease)


def test_one_holds_it_and_begins_a_generation(new_lease: Callable[[], Lease], ledger: Ledger) -> None:
    one, other = new_lease(), new_lease()
    assert not one.held()
    assert one.generation == 0
    assert one.acquire()
    assert not other.acquire()
    assert (one.held(), other.held()) == (True, False)
    assert (one.generation, other.generation) == (1, 0)
    assert ledger.generation() == (1, f"{os.uname().nodename}:{os.getpid()}")


def test_acquiring_what_is_held_changes_nothing(new_lease: Callable[[], Lease], ledger: Ledger) -> None:
    lease = new_lease()
    assert lease.acquire()
    assert lease.acquire()
    assert lease.generation == ledger.generation()[0] == 1


def test_a_released_lease_goes_to_the_next_with_a_newer_generation(new_lease: Callable[[], Lease], ledger: Ledger) -> None:
    one, other = new_lease(), new_lease()
    one.acquire()
    old = one.generation
    one.release()
    one.release()
    assert (one.held(), one.generation) == (False, 0)
    assert other.acquire()
    assert other.generation > old
    ledger.append(draft(1), other.generation)
    with pytest.raises(LeaseLost):
        ledger.append(draft(2), old)


def test_a_lease_without_a_generation_is_given_back(
    new_lease: Callable[[], Lease], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = new_lease(), new_lease()

    def fail(_holder: str) -> int:
        raise LedgerUnavailable("it is gone")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "begin_generation", fail)
        with pytest.raises(LedgerUnavailable):
            one.acquire()
    assert not one.held()
    assert other.acquire()


_HOLDER = r"""
    import os, sys, time
    from pathlib import Path
    from registry_hooks.lease import build_lease
    from registry_hooks.ledger import open_ledger
    from stagedoor.paths import StatePaths
    from stagedoor.settings import Settings

    place, state, forks = sys.argv[1:]
    ledger = open_ledger(place)
    lease = build_lease(Settings(), StatePaths(Path(state)), ledger)
    assert lease.acquire()
    if forks == "forks" and os.fork() == 0:
        os.write(1, f"child {lease.held()} {lease.generation}\n".encode())
        time.sleep(60)
        os._exit(0)
    os.write(1, b"holder\n")
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("forks", ["alone", "forks"])
def test_the_lease_dies_with_its_holder_and_not_with_its_holders_children(
    where: str | Path, paths: StatePaths, new_lease: Callable[[], Lease], forks: str
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_HOLDER), str(where), str(paths.root), forks]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
    holder = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert holder.stdout is not None
        lines = [holder.stdout.readline().split() for _ in range(2 if forks == "forks" else 1)]
        assert ["False", "0"] in [line[1:] for line in lines] or forks == "alone"
        lease = new_lease()
        assert not lease.acquire()
        holder.kill()
        holder.wait(10)
        end = time.monotonic() + 10
        while not lease.acquire():
            assert time.monotonic() < end, "the lease is still taken"
            time.sleep(0.05)
        assert lease.generation == 2
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(holder.pid, signal.SIGKILL)
        holder.wait(10)
        assert holder.stdout is not None
        holder.stdout.close()
