"""The ledger: every decision once, in order, each chained to the one before it. SQLite or PostgreSQL, by SQLAlchemy Core."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from registry_hooks.ledger import chain
from registry_hooks.ledger.database import VERIFY_SECONDS, Database
from registry_hooks.ledger.entry import Draft, Entry, entry_of, hash_of, row_of
from registry_hooks.ledger.place import read_place
from registry_hooks.ledger.tables import entries, generations, head
from registry_hooks.ledger.upgrade import is_made, upgrade
from stagedoor.errors import LeaseLost, LedgerTampered, LedgerUnavailable

PAGE: Final = 1000


class Ledger:
    """Safe for threads and processes. Every method raises LedgerUnavailable when the database does not do as it should.

    Methods that return entries raise LedgerTampered when one of them is not as it was written.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    @property
    def database(self) -> Database:
        """Where it is kept."""
        return self._database

    def append(self, draft: Draft, generation: int) -> Entry:
        """Write a decision down, durably; with a key that is there already, give back the entry of then.

        Raises LeaseLost unless `generation` is the newest that was begun, and LedgerTampered when the newest row is not the one
        that was written last: a broken chain is not made longer.
        """
        with self._database.writing() as connection:
            last = _lock_head(connection)
            newest = connection.execute(sa.select(sa.func.max(generations.c.generation))).scalar() or 0
            if generation != newest:
                raise LeaseLost("Another controller has taken over since. This one carries out nothing more.")
            known = _first(connection, sa.select(entries).where(entries.c.key == draft.key))
            if known is not None:
                return _checked(known)
            _check_tail(connection, last)
            row = row_of(draft, last.seq + 1, generation, last.hash)
            connection.execute(entries.insert(), row)
            connection.execute(head.update().values(seq=row["seq"], hash=row["hash"]))
        return entry_of(row)

    def begin_generation(self, holder: str) -> int:
        """Take over: from the moment this returns, nothing can be appended under an earlier generation."""
        with self._database.writing() as connection:
            last = _lock_head(connection)
            newest = connection.execute(sa.select(sa.func.max(generations.c.generation))).scalar() or 0
            row = {"generation": newest + 1, "holder": holder, "at": self._clock(), "seq": last.seq, "hash": last.hash}
            connection.execute(generations.insert(), row)
        return int(newest + 1)

    def generation(self) -> tuple[int, str]:
        """The newest generation and who began it; 0 and nobody at first."""
        query = sa.select(generations.c.generation, generations.c.holder).order_by(generations.c.generation.desc()).limit(1)
        with self._database.reading() as connection:
            found = connection.execute(query).first()
        return (int(found[0]), str(found[1])) if found else (0, "")

    def latest(self) -> Mapping[str, Entry]:
        """The newest entry of each model."""
        # Index steps from one model's name to the next: as quick with 100,000 entries as with as many models.
        names = sa.select(sa.func.min(entries.c.model).label("model")).cte("names", recursive=True)
        following = sa.select(sa.func.min(entries.c.model)).where(entries.c.model > names.c.model).scalar_subquery()
        names = names.union_all(sa.select(following).where(names.c.model.is_not(None)))
        newest = sa.select(sa.func.max(entries.c.seq)).where(entries.c.model == names.c.model).scalar_subquery()
        numbers = sa.select(newest).where(names.c.model.is_not(None))
        with self._database.reading() as connection:
            rows = _all(connection, sa.select(entries).where(entries.c.seq.in_(numbers)))
        return {row["model"]: _checked(row) for row in rows}

    def history(self, model: str, *, until: float | None = None, limit: int = 100) -> tuple[Entry, ...]:
        """A model's newest entries, the newest first; of those up to `until` where it is given."""
        query = sa.select(entries).where(entries.c.model == model).order_by(entries.c.seq.desc()).limit(limit)
        if until is not None:
            query = query.where(entries.c.at <= until)
        with self._database.reading() as connection:
            rows = _all(connection, query)
        return tuple(_checked(row) for row in rows)

    def live_at(self, model: str, at: float) -> Entry | None:
        """The newest entry up to that time: `state["stable"]` is the version that was live. None before the first."""
        found = self.history(model, until=at, limit=1)
        return found[0] if found else None

    def of_epoch(self, model: str, epoch: int) -> Entry | None:
        """The newest entry of one epoch of a model's route."""
        query = sa.select(entries).where(entries.c.model == model, entries.c.epoch == epoch)
        with self._database.reading() as connection:
            found = _first(connection, query.order_by(entries.c.seq.desc()).limit(1))
        return _checked(found) if found is not None else None

    def verify(self) -> chain.Verification:
        """Read all of it and say where it is not as written. Rows are read a page at a time, as of one moment."""
        with self._database.reading(VERIFY_SECONDS) as connection:
            found = _first(connection, sa.select(head))
            marks = connection.execute(sa.select(generations.c.seq, generations.c.hash).distinct()).all()
            newest = chain.Mark(found["seq"], found["hash"]) if found is not None else None
            return chain.verify(_pages(connection), newest, (chain.Mark(seq, digest) for seq, digest in marks))

    def has(self, digest: str) -> bool:
        """Whether a row has that hash. If so, and `verify` finds nothing: no row up to it was rewritten since it was noted."""
        with self._database.reading() as connection:
            return _first(connection, sa.select(entries.c.seq).where(entries.c.hash == digest).limit(1)) is not None


def open_ledger(place: str | Path, clock: Callable[[], float] = time.time) -> Ledger:
    """Open the ledger at a file's path or a URL; make it, or bring its schema up to date, where that is needed.

    Raises LedgerUnavailable, and ConfigurationError where the URL can name no ledger.
    """
    database = Database(read_place(place))
    upgrade(database)
    return Ledger(database, clock)


def find_ledger(place: str | Path) -> Ledger:
    """Open a ledger that must be there already, and change nothing. Raises as `open_ledger`."""
    database = Database(read_place(place))
    if (database.file is None or database.file.is_file()) and is_made(database):
        return Ledger(database)
    raise LedgerUnavailable("There is no ledger at that place. Name the state folder with --state, or the ledger itself.")


def _lock_head(connection: sa.Connection) -> chain.Mark:
    """Hold the head until the transaction ends: appends and takeovers come one after the other."""
    found = _first(connection, sa.select(head).with_for_update())  # SQLite: the whole file is locked already
    if found is None:
        raise LedgerTampered("The ledger's record of its newest row is missing. Restore the ledger from a backup.")
    return chain.Mark(found["seq"], found["hash"])


def _check_tail(connection: sa.Connection, last: chain.Mark) -> None:
    newest = _first(connection, sa.select(entries).order_by(entries.c.seq.desc()).limit(1))
    if (chain.Mark(newest["seq"], newest["hash"]) if newest is not None else chain.Mark()) != last:
        raise LedgerTampered(
            "The ledger's newest row is not the one that was written last. `stagedoor ledger verify` says more; "
            "restore the ledger from a backup."
        )


def _checked(row: Mapping[str, Any]) -> Entry:
    if hash_of(row) != row["hash"]:
        raise LedgerTampered(
            f"Row {row['seq']} of the ledger was changed after it was written. `stagedoor ledger verify` says more; "
            "restore the ledger from a backup."
        )
    return entry_of(row)


def _all(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [row._asdict() for row in connection.execute(query)]


def _first(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, Any] | None:
    found = connection.execute(query).first()
    return found._asdict() if found is not None else None


def _pages(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    query = sa.select(entries).order_by(entries.c.seq).limit(PAGE)
    page = _all(connection, query)
    while page:
        yield from page
        page = _all(connection, query.where(entries.c.seq > page[-1]["seq"]))
