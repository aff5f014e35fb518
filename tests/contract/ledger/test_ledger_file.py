"""A ledger in a file: tampering by SQLite's own means, and files that are none."""

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from registry_hooks.ledger import Ledger, database, find_ledger, open_ledger
from registry_hooks.ledger.entry import GENESIS, row_of
from registry_hooks.ledger.place import read_place
from registry_hooks.ledger.tables import entries
from stagedoor.errors import ConfigurationError, LedgerUnavailable

from .conftest import Tamper, draft


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three rows."""
    ledger = open_ledger(tmp_path / "ledger.db")
    generation = ledger.begin_generation("one")
    for number in (1, 2, 3):
        ledger.append(draft(number), generation)
    return tmp_path / "ledger.db"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stagedoor_ledger SET reason = CAST(x'ff00' AS TEXT) WHERE seq = 2",
        "UPDATE stagedoor_ledger SET reason = x'ff' WHERE seq = 2",
        "UPDATE stagedoor_ledger SET at = 'noon' WHERE seq = 2",
        "UPDATE stagedoor_ledger SET at = 1e999 WHERE seq = 2",
        "UPDATE stagedoor_ledger SET epoch = 2.5 WHERE seq = 2",
        "UPDATE stagedoor_ledger SET hash = x'00' WHERE seq = 2",
        "UPDATE stagedoor_ledger SET state = 'no JSON' WHERE seq = 2",
    ],
)
def test_what_no_writer_could_have_written_is_named_and_stops_nothing(file: Path, tamper: Tamper, statement: str) -> None:
    ledger = find_ledger(file)
    tamper(ledger, statement)
    found = ledger.verify()
    assert (found.first_bad, found.rows) == (2, 1)


def test_replace_does_not_get_round_the_triggers(file: Path) -> None:
    connection = sqlite3.connect(file)
    try:
        for columns in ("seq, 'new'", "4, key"):
            with pytest.raises(sqlite3.IntegrityError, match="follows the newest"):
                connection.execute(
                    f"INSERT OR REPLACE INTO stagedoor_ledger SELECT {columns}, at, model, kind, 'mallory', from_version, "  # noqa: S608
                    "to_version, epoch, reason, evidence, state, generation, hash, 'x' FROM stagedoor_ledger WHERE seq = 3"
                )
    finally:
        connection.close()
    assert find_ledger(file).verify().sound


def test_a_ledger_that_has_gone_is_not_begun_anew(file: Path) -> None:
    ledger = find_ledger(file)
    for path in file.parent.glob("ledger.db*"):
        path.unlink()
    for use in (ledger.latest, ledger.verify, lambda: ledger.append(draft(4), 1)):
        with pytest.raises(LedgerUnavailable, match="folder"):
            use()
    assert not file.exists()
    with pytest.raises(LedgerUnavailable, match="no ledger"):
        find_ledger(file)


def test_a_file_that_is_no_database_is_unavailable_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(b"not a database, but a poem of some length" * 100)
    before = file.read_bytes()
    with pytest.raises(LedgerUnavailable):
        open_ledger(file)
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "control").touch()
    with pytest.raises(LedgerUnavailable, match="writable"):
        open_ledger(tmp_path / "control" / "ledger.db")


def test_a_file_that_another_holds_locked_is_given_up_in_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.2)
    ledger = find_ledger(file)
    other = sqlite3.connect(file, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="locked"):
            ledger.append(draft(4), 1)
        assert len(ledger.history("fraud")) == 3  # readers need not wait
    finally:
        other.close()
    assert ledger.append(draft(4), 1).seq == 4


def test_threads_append_one_after_the_other(file: Path) -> None:
    ledger = find_ledger(file)
    threads = [
        threading.Thread(target=lambda n=n: [ledger.append(draft(n * 10 + i), 1) for i in range(5)]) for n in range(1, 5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = ledger.verify()
    assert (found.sound, found.rows) == (True, 23)


@pytest.mark.slow
def test_many_rows_are_quickly_looked_through(tmp_path: Path, tamper: Tamper) -> None:
    ledger = open_ledger(tmp_path / "ledger.db")
    _fill(ledger, tamper, rows=20_000, models=50)
    begun = time.perf_counter()
    for _ in range(10):
        assert {entry.seq for entry in ledger.latest().values()} == set(range(19_951, 20_001))
        assert len(ledger.history("model-7", limit=20)) == 20
        assert ledger.live_at("model-7", 10_000.0) is not None
        assert ledger.of_epoch("model-7", 57) is not None
    assert time.perf_counter() - begun < 5  # some 10 ms each on an idle machine; reading all rows takes seconds
    assert ledger.verify().rows == 20_000


def _fill(ledger: Ledger, tamper: Tamper, rows: int, models: int) -> None:
    """In one transaction, as only somebody with every right can."""
    tamper(ledger)
    last = GENESIS
    with ledger.database.writing() as connection:
        for number in range(1, rows + 1):
            content = draft(number, model=f"model-{number % models}", at=float(number))
            row = row_of(content, number, 0, last)
            last = row["hash"]
            connection.exec_driver_sql(f"INSERT INTO stagedoor_ledger VALUES ({','.join('?' * len(row))})", _in_order(row))  # noqa: S608
        connection.exec_driver_sql("UPDATE stagedoor_ledger_head SET seq = ?, hash = ?", (rows, last))


def _in_order(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in entries.columns)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("mysql://root:secret@db/x", "SQLite or PostgreSQL"),
        ("sqlite://", "memory"),
        ("sqlite:///:memory:", "memory"),
        ("postgresql://user:secret@host:port/x", "malformed"),
        ("://", "malformed"),
    ],
)
def test_a_place_that_can_hold_no_ledger_is_refused_without_its_secret(place: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as refused:
        open_ledger(place)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("ledger.db", "ledger.db"),
        ("sqlite:////var/ledger.db", "/var/ledger.db"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)
def test_places_are_files_or_postgresql(place: str, found: str) -> None:
    assert str(read_place(place)) == found
