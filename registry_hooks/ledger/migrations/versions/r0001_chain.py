"""The chain of entries, its head and the generations of controllers; each append-only."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

_GENESIS = "0" * 64

_SQLITE = (
    """CREATE TRIGGER stagedoor_ledger_no_update BEFORE UPDATE ON stagedoor_ledger
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER stagedoor_ledger_no_delete BEFORE DELETE ON stagedoor_ledger
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    # REPLACE would delete without asking the trigger above, so it is refused before it comes to that.
    """CREATE TRIGGER stagedoor_ledger_in_order BEFORE INSERT ON stagedoor_ledger
       WHEN NEW.seq <> (SELECT seq + 1 FROM stagedoor_ledger_head)
         OR NEW.previous_hash <> (SELECT hash FROM stagedoor_ledger_head)
         OR EXISTS (SELECT 1 FROM stagedoor_ledger WHERE key = NEW.key OR seq = NEW.seq)
       BEGIN SELECT RAISE(ABORT, 'an entry follows the newest one'); END""",
    """CREATE TRIGGER stagedoor_ledger_head_moves_on BEFORE UPDATE ON stagedoor_ledger_head
       WHEN NEW.seq <> OLD.seq + 1
         OR NOT EXISTS (SELECT 1 FROM stagedoor_ledger WHERE seq = NEW.seq AND hash = NEW.hash AND previous_hash = OLD.hash)
       BEGIN SELECT RAISE(ABORT, 'the head goes on by one entry'); END""",
    """CREATE TRIGGER stagedoor_ledger_head_stays BEFORE DELETE ON stagedoor_ledger_head
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER stagedoor_ledger_one_head BEFORE INSERT ON stagedoor_ledger_head
       WHEN EXISTS (SELECT 1 FROM stagedoor_ledger_head)
       BEGIN SELECT RAISE(ABORT, 'there is one head'); END""",
    """CREATE TRIGGER stagedoor_ledger_generations_no_update BEFORE UPDATE ON stagedoor_ledger_generations
       BEGIN SELECT RAISE(ABORT, 'generations are append-only'); END""",
    """CREATE TRIGGER stagedoor_ledger_generations_no_delete BEFORE DELETE ON stagedoor_ledger_generations
       BEGIN SELECT RAISE(ABORT, 'generations are append-only'); END""",
    """CREATE TRIGGER stagedoor_ledger_generations_grow BEFORE INSERT ON stagedoor_ledger_generations
       WHEN NEW.generation <= (SELECT max(generation) FROM stagedoor_ledger_generations)
       BEGIN SELECT RAISE(ABORT, 'a generation is newer than all before it'); END""",
)

_POSTGRESQL = (
    """CREATE FUNCTION stagedoor_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$""",
    """CREATE FUNCTION stagedoor_ledger_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF NOT EXISTS (SELECT 1 FROM stagedoor_ledger_head WHERE seq = NEW.seq - 1 AND hash = NEW.previous_hash) THEN
           RAISE EXCEPTION 'an entry follows the newest one';
         END IF;
         RETURN NEW;
       END $$""",
    """CREATE FUNCTION stagedoor_ledger_head_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF NEW.seq <> OLD.seq + 1 OR NOT EXISTS (
           SELECT 1 FROM stagedoor_ledger WHERE seq = NEW.seq AND hash = NEW.hash AND previous_hash = OLD.hash
         ) THEN
           RAISE EXCEPTION 'the head goes on by one entry';
         END IF;
         RETURN NEW;
       END $$""",
    """CREATE TRIGGER stagedoor_ledger_in_order BEFORE INSERT ON stagedoor_ledger
       FOR EACH ROW EXECUTE FUNCTION stagedoor_ledger_in_order()""",
    """CREATE TRIGGER stagedoor_ledger_fixed BEFORE UPDATE OR DELETE ON stagedoor_ledger
       FOR EACH ROW EXECUTE FUNCTION stagedoor_ledger_refuse()""",
    """CREATE TRIGGER stagedoor_ledger_head_moves_on BEFORE UPDATE ON stagedoor_ledger_head
       FOR EACH ROW EXECUTE FUNCTION stagedoor_ledger_head_moves_on()""",
    """CREATE TRIGGER stagedoor_ledger_head_fixed BEFORE DELETE ON stagedoor_ledger_head
       FOR EACH ROW EXECUTE FUNCTION stagedoor_ledger_refuse()""",
    """CREATE TRIGGER stagedoor_ledger_generations_fixed BEFORE UPDATE OR DELETE ON stagedoor_ledger_generations
       FOR EACH ROW EXECUTE FUNCTION stagedoor_ledger_refuse()""",
    *(
        f"CREATE TRIGGER {table}_kept BEFORE TRUNCATE ON {table} EXECUTE FUNCTION stagedoor_ledger_refuse()"
        for table in ("stagedoor_ledger", "stagedoor_ledger_head", "stagedoor_ledger_generations")
    ),
    # Also for sessions that replicate, which usually run no triggers.
    *(
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"
        for table, trigger in (
            ("stagedoor_ledger", "stagedoor_ledger_fixed"),
            ("stagedoor_ledger_head", "stagedoor_ledger_head_fixed"),
            ("stagedoor_ledger_generations", "stagedoor_ledger_generations_fixed"),
        )
    ),
)


def upgrade() -> None:
    """Make the tables and their triggers."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "stagedoor_ledger",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("from_version", sa.Text),
        sa.Column("to_version", sa.Text),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("previous_hash", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.UniqueConstraint("key", name="stagedoor_ledger_key"),
    )
    op.create_index("stagedoor_ledger_by_model", "stagedoor_ledger", ["model", "seq"])
    op.create_index("stagedoor_ledger_by_epoch", "stagedoor_ledger", ["model", "epoch", "seq"])
    head = op.create_table(
        "stagedoor_ledger_head",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_table(
        "stagedoor_ledger_generations",
        sa.Column("generation", number, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": _GENESIS}])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
