"""Brings the ledger's database to the newest schema. Safe for several processes at once; done already, it only looks."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from registry_hooks.ledger.database import LOCK_SECONDS, Database
from registry_hooks.ledger.tables import REVISION, VERSION_TABLE, entries
from stagedoor.errors import ConfigurationError, LedgerUnavailable

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_ADVISORY_LOCK: Final = 0x5D00_1ED6
"""Any fixed number: held on PostgreSQL while the schema is changed."""


def upgrade(database: Database) -> None:
    """Make or bring up to date. Raises LedgerUnavailable, and ConfigurationError for a ledger of a later Stagedoor."""
    if database.file is not None:
        _make_file(database.file)
    with database.reading() as connection:
        if _revision(connection) == REVISION:
            return
    from alembic import command  # noqa: F401, PLC0415  before the lock: importing takes long, and others would wait for it

    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        if _revision(connection) != REVISION:  # another may have done it while this one waited
            _migrate(connection)


def is_made(database: Database) -> bool:
    """Whether a ledger is there, of whatever version. Raises LedgerUnavailable."""
    with database.reading() as connection:
        return sa.inspect(connection).has_table(entries.name)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  a constant


def _migrate(connection: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415  needed once in a ledger's life
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(
            "The ledger was made by a later version of Stagedoor. Install that version, or name another database with "
            "STAGEDOOR_LEDGER_URL."
        ) from error


def _make_file(file: Path) -> None:
    """An empty database in WAL mode, for its owner alone."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        _use_wal(file)
    except (OSError, sqlite3.Error) as error:
        raise LedgerUnavailable(
            "The ledger's file cannot be made or opened. See that its folder is writable and that the file is a ledger."
        ) from error


def _use_wal(file: Path) -> None:
    """Remembered by the file. SQLite does not wait for others here, whatever its timeout, so this does."""
    end = time.monotonic() + LOCK_SECONDS
    connection = sqlite3.connect(file, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL").fetchone()
            except sqlite3.OperationalError:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.02)
            else:
                return
    finally:
        connection.close()
