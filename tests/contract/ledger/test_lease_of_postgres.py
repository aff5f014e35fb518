"""What only PostgreSQL's advisory lock has to get right."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from registry_hooks.lease import AdvisoryLease
from registry_hooks.lease import advisory as advisory_module
from registry_hooks.ledger import open_ledger
from stagedoor.errors import LedgerUnavailable

from .conftest import draft


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
