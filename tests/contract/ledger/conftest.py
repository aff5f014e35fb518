"""Ledgers of both kinds, and the means to tamper with them."""

import shutil
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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


NewPlace = Callable[..., str | Path]


@pytest.fixture(scope="module")
def new_place(kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewPlace:
    """A place where no ledger is yet, or a copy of the one at another place."""
    if kind == "postgresql":
        cluster = request.getfixturevalue("postgres")
        return lambda like=None: str(cluster.database(like))

    def file(like: Path | None = None) -> Path:
        place = tmp_path_factory.mktemp("state") / "control" / "ledger.db"
        if like is not None:
            place.parent.mkdir()
            shutil.copyfile(like, place)
        return place

    return file


@pytest.fixture(scope="module")
def standing(new_place: NewPlace) -> str | Path:
    """A ledger of five rows, three of them before a second controller took over. Nobody changes it."""
    place = new_place()
    ledger = open_ledger(place)
    for holder, numbers in (("one", (1, 2, 3)), ("two", (4, 5))):
        generation = ledger.begin_generation(holder)
        for number in numbers:
            ledger.append(draft(number), generation)
    return place


@pytest.fixture(scope="module")
def bare(new_place: NewPlace) -> str | Path:
    """A ledger without any row. Nobody changes it."""
    place = new_place()
    open_ledger(place)
    return place


@pytest.fixture
def ledger(new_place: NewPlace, bare: str | Path) -> Ledger:
    """Without any row."""
    return open_ledger(new_place(bare), clock=lambda: 500.0)


@pytest.fixture
def place(new_place: NewPlace, standing: str | Path) -> str | Path:
    """Where five rows are."""
    return new_place(standing)


@pytest.fixture
def filled(place: str | Path) -> Ledger:
    """Five rows, three of them before a second controller took over."""
    return open_ledger(place)


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
