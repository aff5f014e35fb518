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
import sqlalchemy as sa

from registry_hooks.lease import AdvisoryLease, FileLease, Lease, build_lease
from registry_hooks.lease import advisory as advisory_module
from registry_hooks.ledger import Ledger, open_ledger
from stagedoor.errors import ConfigurationError, LeaseLost, LedgerUnavailable
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


# --- the file's own ---


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Callable[[], FileLease]]:
    ledger = open_ledger(tmp_path / "ledger.db")
    made: list[FileLease] = []

    def make() -> FileLease:
        made.append(FileLease(tmp_path / "control" / "lease", ledger))
        return made[-1]

    yield make
    for lease in made:
        lease.release()


def test_a_lease_whose_file_was_removed_is_lost(files: Callable[[], FileLease], tmp_path: Path) -> None:
    one, other = files(), files()
    one.acquire()
    (tmp_path / "control" / "lease").unlink()
    assert other.acquire()
    assert not one.held()
    assert one.generation == 0
    assert not one.acquire()
    assert other.held()


def test_state_folders_with_one_ledger_have_one_lease(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "shared.db")
    one, other = (build_lease(Settings(), StatePaths(tmp_path / name), ledger) for name in ("one", "other"))
    assert one.acquire()
    assert not other.acquire()
    one.release()


def test_the_usual_lease_is_in_the_state_folder(tmp_path: Path) -> None:
    paths = StatePaths(tmp_path)
    lease = build_lease(Settings(), paths, open_ledger(paths.ledger))
    lease.acquire()
    assert paths.lease.is_file()
    lease.release()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "control").touch()
    with pytest.raises(ConfigurationError, match="STAGEDOOR_STATE_DIR"):
        FileLease(tmp_path / "control" / "lease", open_ledger(tmp_path / "ledger.db")).acquire()


# --- PostgreSQL's own ---


@pytest.fixture
def url(postgres: object) -> str:
    return postgres.database()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def advisory(url: str) -> Iterator[AdvisoryLease]:
    lease = AdvisoryLease(open_ledger(url))
    yield lease
    lease.release()


def _session(url: str) -> int:
    """The process id of the server's side of the connection that holds the lease."""
    query = (
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = %s)"
    )
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return int(connection.exec_driver_sql(query, (url.rpartition("/")[2],)).scalar_one())


def test_a_lost_connection_is_a_lost_lease(advisory: AdvisoryLease, url: str) -> None:
    advisory.acquire()
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(%s)", (_session(url),))
    assert not advisory.held()
    assert advisory.generation == 0
    assert advisory.acquire()
    assert advisory.generation == 2


def test_a_session_that_stops_answering_is_given_up_in_time(
    advisory: AdvisoryLease, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    advisory.acquire()
    monkeypatch.setattr(advisory_module, "ANSWER_SECONDS", 0.3)
    session = _session(url)
    os.kill(session, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert not advisory.held()
        assert time.monotonic() - begun < 5
    finally:
        os.kill(session, signal.SIGCONT)


def test_a_transaction_that_gets_no_answer_is_given_up_in_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from registry_hooks.ledger import database

    ledger = open_ledger(url)
    monkeypatch.setattr(database, "WORK_SECONDS", 0.5)
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as other:
        other.exec_driver_sql("SELECT seq FROM stagedoor_ledger_head FOR UPDATE")
        begun = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            ledger.append(draft(1), 0)
        assert time.monotonic() - begun < 0.9 * database.LOCK_SECONDS  # the server would wait longer
    monkeypatch.undo()
    assert ledger.append(draft(1), 0).seq == 1


def test_leases_in_different_databases_are_different(advisory: AdvisoryLease, postgres: object) -> None:
    other = AdvisoryLease(open_ledger(postgres.database()))  # type: ignore[attr-defined]
    assert advisory.acquire()
    assert other.acquire()
    other.release()


def test_a_server_that_is_not_there_is_unavailable_without_its_password() -> None:
    begun = time.monotonic()
    with pytest.raises(LedgerUnavailable, match="STAGEDOOR_LEDGER_URL") as refused:
        open_ledger("postgresql://user:secret@127.0.0.1:9/none")
    assert "secret" not in repr(refused.value.__cause__)
    assert time.monotonic() - begun < 5


@pytest.mark.slow
def test_a_server_that_takes_and_never_answers_is_given_up_in_time(
    advisory: AdvisoryLease, url: str, postgres: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry_hooks.ledger import database

    advisory.acquire()
    monkeypatch.setitem(database.POSTGRESQL_OPTIONS, "connect_timeout", 2)
    monkeypatch.setattr(database, "WORK_SECONDS", 2.0)
    ledger = open_ledger(url)
    os.kill(postgres.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
    try:
        begun = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            ledger.append(draft(1), 1)
        assert time.monotonic() - begun < 8
        assert advisory.held()  # its session runs on without the stopped postmaster
    finally:
        os.kill(postgres.pid, signal.SIGCONT)  # type: ignore[attr-defined]
    assert ledger.append(draft(1), advisory.generation).seq == 1
