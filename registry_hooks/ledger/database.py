"""Transactions on the ledger's database. Every wait is bounded, and every failure is a LedgerUnavailable."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from registry_hooks.ledger.deadline import Deadlines
from stagedoor.errors import LedgerUnavailable

LOCK_SECONDS: Final = 5.0
"""How long one waits for another that writes."""
CONNECT_SECONDS: Final = 5
WORK_SECONDS: Final = 15.0
"""How long a transaction may take altogether, on PostgreSQL."""
VERIFY_SECONDS: Final = 600.0
"""The same for reading the whole ledger."""

_SERVER_SETTINGS: Final = {
    "lock_timeout": f"{LOCK_SECONDS:.0f}s",
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    # A client whose machine is gone must not keep its locks: the server's usual patience is two hours.
    "tcp_keepalives_idle": "5s",
    "tcp_keepalives_interval": "2s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}
POSTGRESQL_OPTIONS: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_SECONDS,
    "options": " ".join(f"-c {name}={value}" for name, value in _SERVER_SETTINGS.items()),
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "stagedoor",
}


class Database:
    """Connects anew for each transaction: nothing is remembered of a server that restarted or a file that was replaced."""

    def __init__(self, place: Path | sa.URL) -> None:
        self.file = place if isinstance(place, Path) else None
        self._deadlines = Deadlines()
        self.engine = self._sqlite(place) if isinstance(place, Path) else self._postgresql(place)

    @contextmanager
    def reading(self, seconds: float = WORK_SECONDS) -> Iterator[sa.Connection]:
        """A transaction that sees one moment. Raises LedgerUnavailable."""
        with self._transaction(seconds, read_only=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is committed if the block ends well. Raises LedgerUnavailable."""
        with self._transaction(WORK_SECONDS, read_only=False) as connection:
            yield connection

    @contextmanager
    def _transaction(self, seconds: float, *, read_only: bool) -> Iterator[sa.Connection]:
        options: dict[str, Any] = {"stagedoor_read_only": read_only}
        if self.file is None and read_only:
            options["isolation_level"] = "REPEATABLE READ"
        try:
            with self.bounded(seconds), self.engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, OSError, UnicodeError) as error:
            raise LedgerUnavailable(self.advice) from error

    @contextmanager
    def bounded(self, seconds: float, connection: sa.Connection | None = None) -> Iterator[None]:
        """Cut off `connection`, and whatever the block connects to, after so many seconds. SQLite's own timeout is enough."""
        if self.file is not None:
            yield
            return
        with self._deadlines.within(seconds):
            if connection is not None:
                self._deadlines.watch(driver_connection(connection))
            yield

    @property
    def advice(self) -> str:
        """What to do when it does not answer."""
        if self.file is not None:
            return (
                "The ledger's file cannot be read or written. See that the folder `control` of the state folder is there, "
                "writable and not full, and that nobody holds the file locked."
            )
        return (
            "The ledger's database gives no answer. See that it runs and that STAGEDOOR_LEDGER_URL names it and a user who may."
        )

    def _sqlite(self, file: Path) -> sa.Engine:
        address = f"file:{quote(str(file.absolute()))}?mode=rw"  # rw: a ledger that has gone is not begun anew in silence

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
            # Bytes that are no text must not stop a verification; they come back as what no writer ever wrote.
            connection.text_factory = _lenient
            connection.execute("PRAGMA synchronous=FULL")
            return connection

        engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool, hide_parameters=True)

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            # A writer takes its lock at once: one that finds out later that it may not write could only give up.
            read_only = connection.get_execution_options().get("stagedoor_read_only", False)
            connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

        return engine

    def _postgresql(self, url: sa.URL) -> sa.Engine:
        engine = sa.create_engine(url, connect_args=POSTGRESQL_OPTIONS, poolclass=sa.NullPool, hide_parameters=True)

        @event.listens_for(engine, "do_connect")
        def _connect(dialect: sa.Dialect, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:  # noqa: ANN401
            connection: Any = dialect.connect(*arguments, **options)
            self._deadlines.watch(connection)
            return connection

        return engine


def driver_connection(connection: sa.Connection) -> Any:  # noqa: ANN401  SQLAlchemy's own type for it
    """The driver's connection beneath."""
    return connection.connection.driver_connection


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
