"""The ledger's tables, as queries see them. `migrations` makes them, with the triggers that keep them append-only."""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Index, Integer, MetaData, Table, Text, UniqueConstraint

REVISION: Final = "0001"
"""The newest migration."""
VERSION_TABLE: Final = "stagedoor_ledger_version"
"""Not Alembic's usual name: the ledger may share a database with MLflow, which uses that."""

_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")  # in SQLite only INTEGER is the row's own number

metadata = MetaData()

entries = Table(
    "stagedoor_ledger",
    metadata,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("from_version", Text),
    Column("to_version", Text),
    Column("epoch", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("key", name="stagedoor_ledger_key"),
    Index("stagedoor_ledger_by_model", "model", "seq"),
    Index("stagedoor_ledger_by_epoch", "model", "epoch", "seq"),
)

head = Table(
    "stagedoor_ledger_head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="stagedoor_ledger_one_head"), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
"""One row: the newest entry. Locked by whoever appends, so that appends come one after the other."""

generations = Table(
    "stagedoor_ledger_generations",
    metadata,
    Column("generation", _NUMBER, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
"""One row for each time that a controller took over, with the newest entry it found: the fence, and further marks."""
