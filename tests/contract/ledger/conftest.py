"""Ledgers of both kinds, and the means to tamper with them."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from registry_hooks.ledger import Draft, Ledger, open_ledger

TABLES = ("stagedoor_ledger", "stagedoor_ledger_head", "stagedoor_ledger_generations")


def draft(number: int = 1, **members: Any) -> Draft:
    """A promotion; each number is another decision."""
    usual = {
        "key": f"decision-{number}",
        "at": 1_000.0 + number,
        "model": "fraud",
        "kind": "promoted",
        "who": "alice",
        "from_version": str(number),
        "to_version": str(number + 1),
        "epoch": number,
        "reason": "no worse in 400 outcomes",
        "evidence": {"outcomes": 400, "e_promote": 23.5},
        "state": {"stable": str(number + 1)},
    }
    return Draft(**(usual | members))


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """Where no ledger is yet."""
    if request.param == "sqlite":
        return tmp_path / "control" / "ledger.db"
    url: str = request.getfixturevalue("postgres").database()
    return url


@pytest.fixture
def ledger(place: str | Path) -> Ledger:
    """Without any row."""
    return open_ledger(place, clock=lambda: 500.0)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Five rows, three of them before a second controller took over."""
    for holder, numbers in (("one", (1, 2, 3)), ("two", (4, 5))):
        generation = ledger.begin_generation(holder)
        for number in numbers:
            ledger.append(draft(number), generation)
    return ledger


Tamper = Callable[..., None]


@pytest.fixture
def tamper() -> Tamper:
    """Run statements as somebody with every right: the triggers are put out of the way first."""

    def run(ledger: Ledger, *statements: str) -> None:
        if ledger.database.file is not None:
            _in_the_file(ledger.database.file, statements)
            return
        with ledger.database.writing() as connection:
            for table in TABLES:
                connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            for statement in statements:
                connection.execute(sa.text(statement))

    return run


def _in_the_file(file: Path, statements: tuple[str, ...]) -> None:
    connection = sqlite3.connect(file)
    try:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()
