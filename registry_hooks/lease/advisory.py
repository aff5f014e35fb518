"""The lease of many machines: a lock of PostgreSQL, which the server takes back when the connection ends."""

import contextlib
import os
import threading
import weakref
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from registry_hooks.lease.port import holder_name
from registry_hooks.ledger import Ledger
from registry_hooks.ledger.database import driver_connection
from stagedoor.errors import LedgerUnavailable

ADVISORY_LOCK: Final = 0x5D00_1EA5
"""Any fixed number. Advisory locks are counted by database, so ledgers in different databases have leases of their own."""
ANSWER_SECONDS: Final = 3.0
"""How long the server may take to say that the lease is still held."""


class AdvisoryLease:
    """See `Lease`. Safe for threads. Needs a direct connection: a pooler that shares sessions would share the lease."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.RLock()
        self._connection: sa.Connection | None = None
        self._session = 0
        self._generation = 0
        _LEASES.add(self)

    @property
    def generation(self) -> int:
        """See `Lease`."""
        return self._generation

    def acquire(self) -> bool:
        """See `Lease`."""
        with self._lock:
            if self.held():
                return True
            if not self._locked():
                return False
            try:
                self._generation = self._ledger.begin_generation(holder_name())
            except BaseException:  # whatever it was: nobody decides without a generation, so others may try
                self.release()
                raise
            return True

    def held(self) -> bool:
        """See `Lease`: asks the server, in the session that holds the lock."""
        with self._lock:
            if self._connection is None:
                return False
            try:
                with self._ledger.database.bounded(ANSWER_SECONDS, self._connection):
                    alive = self._connection.execute(sa.select(sa.func.pg_backend_pid())).scalar() == self._session
            except SQLAlchemyError:
                alive = False
            if not alive:
                self._drop()
            return alive

    def release(self) -> None:
        """See `Lease`."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(SQLAlchemyError), self._ledger.database.bounded(ANSWER_SECONDS, self._connection):
                    self._connection.execute(sa.select(sa.func.pg_advisory_unlock(ADVISORY_LOCK)))
            self._drop()

    def forget(self) -> None:
        """In a forked child: the session ends with the last copy of its socket, and this one would outlive the parent."""
        self._lock = threading.RLock()
        connection, self._connection, self._generation = self._connection, None, 0
        if connection is not None:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, driver_connection(connection).fileno(), inheritable=False)
            os.close(nothing)

    def _drop(self) -> None:
        connection, self._connection, self._generation = self._connection, None, 0
        if connection is not None:
            connection.invalidate()  # no word to a server that may not listen
            connection.close()

    def _locked(self) -> bool:
        database = self._ledger.database
        connection: sa.Connection | None = None
        try:
            with database.bounded(ANSWER_SECONDS):
                connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                query = sa.select(sa.func.pg_try_advisory_lock(ADVISORY_LOCK), sa.func.pg_backend_pid())
                locked, session = connection.execute(query).one()
        except SQLAlchemyError as error:
            if connection is not None:
                connection.invalidate()
                connection.close()
            raise LedgerUnavailable(database.advice) from error
        self._connection, self._session = connection, session
        if not locked:
            self._drop()
        return bool(locked)


def _forget_all() -> None:
    for lease in tuple(_LEASES):
        lease.forget()


_LEASES: Final[weakref.WeakSet[AdvisoryLease]] = weakref.WeakSet()
os.register_at_fork(after_in_child=_forget_all)
