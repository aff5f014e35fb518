"""One contract, on SQLite and on a real PostgreSQL."""

import stat
from dataclasses import asdict
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from registry_hooks.ledger import Ledger, find_ledger, open_ledger, upgrade
from registry_hooks.ledger.database import Database
from registry_hooks.ledger.entry import GENESIS
from registry_hooks.ledger.place import read_place
from registry_hooks.ledger.tables import REVISION, VERSION_TABLE, metadata
from registry_hooks.ledger.upgrade import MIGRATIONS
from stagedoor.errors import ConfigurationError, LeaseLost, LedgerTampered, LedgerUnavailable

from .conftest import NewPlace, Tamper, draft


def test_what_is_appended_is_read_back_after_reopening(new_place: NewPlace) -> None:
    place = new_place()
    ledger = open_ledger(place)
    generation = ledger.begin_generation("one")
    first, second = (ledger.append(draft(number), generation) for number in (1, 2))
    assert (first.seq, second.seq, first.previous_hash, second.previous_hash) == (1, 2, GENESIS, first.hash)
    assert asdict(draft(2)).items() <= asdict(second).items()
    assert second.generation == generation
    assert open_ledger(place).history("fraud") == (second, first)


def test_the_same_key_is_written_once(ledger: Ledger) -> None:
    generation = ledger.begin_generation("one")
    first = ledger.append(draft(1), generation)
    assert ledger.append(draft(1, reason="another"), ledger.begin_generation("two")) == first
    assert ledger.history("fraud") == (first,)


def test_only_the_newest_generation_appends(ledger: Ledger) -> None:
    old, new = ledger.begin_generation("one"), ledger.begin_generation("two")
    assert new > old
    assert ledger.generation() == (new, "two")
    ledger.append(draft(1), new)
    for generation in (old, new + 1, 0):
        for number in (1, 2):  # written already, and not yet
            with pytest.raises(LeaseLost, match="taken over"):
                ledger.append(draft(number), generation)
    assert len(ledger.history("fraud")) == 1


def test_an_empty_ledger_is_sound_and_has_no_past(ledger: Ledger) -> None:
    assert ledger.generation() == (0, "")
    assert ledger.latest() == {}
    assert ledger.history("fraud") == ()
    assert ledger.live_at("fraud", 1e12) is None
    assert ledger.verify().sound
    assert ledger.verify().rows == 0


def test_latest_is_the_newest_entry_of_each_model(ledger: Ledger) -> None:
    generation = ledger.begin_generation("one")
    rows = [ledger.append(draft(n, model=model), generation) for n, model in enumerate(("b", "a", "b", "é", "a", "B"))]
    assert ledger.latest() == {"a": rows[4], "b": rows[2], "é": rows[3], "B": rows[5]}


def test_history_goes_back_from_a_time(filled: Ledger) -> None:
    def numbers(**limits: float) -> list[int]:
        return [entry.seq for entry in filled.history("fraud", **limits)]  # type: ignore[arg-type]

    assert numbers() == [5, 4, 3, 2, 1]
    assert numbers(limit=2) == [5, 4]
    assert numbers(until=1_003.0) == [3, 2, 1]
    assert numbers(until=1_002.999, limit=1) == [2]
    assert filled.history("another") == ()


@pytest.mark.parametrize(
    ("at", "stable"), [(1_000.5, None), (1_001.0, "2"), (1_003.7, "4"), (9e9, "6")], ids=["before", "then", "between", "now"]
)
def test_live_at_names_the_version_of_that_moment(filled: Ledger, at: float, stable: str | None) -> None:
    entry = filled.live_at("fraud", at)
    assert (entry.state["stable"] if entry else None) == stable


def test_an_epoch_is_found_by_its_newest_entry(ledger: Ledger) -> None:
    generation = ledger.begin_generation("one")
    ledger.append(draft(1, epoch=7), generation)
    held = ledger.append(draft(2, epoch=7), generation)
    ledger.append(draft(3, epoch=8), generation)
    ledger.append(draft(4, epoch=7, model="other"), generation)
    assert ledger.of_epoch("fraud", 7) == held
    assert ledger.of_epoch("fraud", 9) is None


def test_awkward_values_come_back_as_the_draft_has_them(ledger: Ledger) -> None:
    awkward = draft(
        1,
        at=-0.0,
        model="modèle 🎭 'quoted' \0",
        reason="half \ud83c a character; \x1f; line\nbreak",
        from_version=None,
        epoch=2**62,
        evidence={"e": float("inf"), "l": -float("inf"), "n": float("nan"), "tiny": 5e-324, "text": "a\0b", 3: (1, 2)},
        state={"nested": {"b": [None, True, 0.1 + 0.2], "a": 10**30}},
    )
    ledger.append(awkward, ledger.begin_generation("one"))
    (entry,) = ledger.latest().values()
    assert asdict(awkward).items() <= asdict(entry).items()
    assert float(entry.evidence["l"]) == -float("inf")
    assert entry.evidence["3"] == [1, 2]
    assert ledger.verify().sound


_ROW = (
    "INSERT {} INTO stagedoor_ledger SELECT {}, {}, at, model, kind, who, from_version, to_version, epoch, reason, evidence, "
)
_ROW += "state, generation, {}, hash FROM stagedoor_ledger WHERE seq = 5"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stagedoor_ledger SET who = 'mallory' WHERE seq = 2",
        "UPDATE stagedoor_ledger SET who = who",
        "DELETE FROM stagedoor_ledger WHERE seq = 5",
        "DELETE FROM stagedoor_ledger",
        "DELETE FROM stagedoor_ledger_head",
        "UPDATE stagedoor_ledger_head SET seq = 4",
        "UPDATE stagedoor_ledger_head SET seq = 6, hash = 'x'",
        "INSERT INTO stagedoor_ledger_head VALUES (2, 0, '')",
        "UPDATE stagedoor_ledger_generations SET holder = 'mallory'",
        "DELETE FROM stagedoor_ledger_generations WHERE generation = 2",
        _ROW.format("", 7, "'new'", "hash"),
        _ROW.format("", 0, "'new'", "hash"),
        _ROW.format("", 6, "'new'", "'another'"),
        _ROW.format("", 6, "key", "hash"),
    ],
)
def test_the_database_itself_refuses_to_change_what_is_written(standing: str | Path, statement: str) -> None:
    filled = open_ledger(standing)
    before = filled.history("fraud")
    with pytest.raises(LedgerUnavailable) as refused, filled.database.writing() as connection:
        connection.execute(sa.text(statement))
    assert isinstance(refused.value.__cause__, sa.exc.DBAPIError)
    assert filled.history("fraud") == before
    assert filled.verify().sound


_MOVE = "UPDATE stagedoor_ledger SET seq = {} WHERE seq = {}"


@pytest.mark.parametrize(
    ("statements", "first_bad", "why"),
    [
        (["UPDATE stagedoor_ledger SET who = 'mallory' WHERE seq = 2"], 2, "changed"),
        (["UPDATE stagedoor_ledger SET evidence = '{ }' WHERE seq = 1"], 1, "changed"),
        (["UPDATE stagedoor_ledger SET from_version = NULL WHERE seq = 5"], 5, "changed"),
        (["UPDATE stagedoor_ledger SET hash = previous_hash WHERE seq = 4"], 4, "changed"),
        (["DELETE FROM stagedoor_ledger WHERE seq = 1"], 1, "Row 1 is missing"),
        (["DELETE FROM stagedoor_ledger WHERE seq IN (2, 3)"], 2, "Row 2 is missing"),
        (["DELETE FROM stagedoor_ledger WHERE seq = 5"], 5, "Row 5 is missing"),
        (["DELETE FROM stagedoor_ledger"], 1, "all after it up to 5"),
        (["UPDATE stagedoor_ledger SET seq = -3 WHERE seq = 3"], -3, "put in"),
        (
            [_MOVE.format(9, 2), _MOVE.format(2, 3), _MOVE.format(3, 9)],
            2,
            "changed",
        ),
        (
            ["DELETE FROM stagedoor_ledger WHERE seq > 3", "UPDATE stagedoor_ledger_head SET seq = 2, hash = 'x'"],
            3,
            "put in after",
        ),
        (
            [
                "DELETE FROM stagedoor_ledger WHERE seq > 2",
                "UPDATE stagedoor_ledger_head SET seq = 2, hash = (SELECT hash FROM stagedoor_ledger WHERE seq = 2)",
            ],
            3,
            "Row 3 is missing",  # the second controller found row 3 when it took over
        ),
        (["DELETE FROM stagedoor_ledger_head"], None, "newest row is missing"),
    ],
)
def test_verify_names_the_first_bad_row(
    filled: Ledger, tamper: Tamper, statements: list[str], first_bad: int | None, why: str
) -> None:
    tamper(filled, *statements)
    found = filled.verify()
    assert not found.sound
    assert found.first_bad == first_bad
    assert why in found.why


def test_a_sound_ledger_says_its_head(filled: Ledger) -> None:
    found = filled.verify()
    assert (found.rows, found.first_bad, found.why, found.head) == (5, None, "", filled.latest()["fraud"].hash)


def test_a_changed_row_is_not_believed(filled: Ledger, tamper: Tamper) -> None:
    tamper(filled, 'UPDATE stagedoor_ledger SET state = \'{"stable":"1"}\' WHERE seq = 5')
    for read in (filled.latest, lambda: filled.history("fraud"), lambda: filled.live_at("fraud", 9e9)):
        with pytest.raises(LedgerTampered, match="Row 5"):
            read()
    assert filled.live_at("fraud", 1_004.5) is not None


@pytest.mark.parametrize(
    "statement", ["DELETE FROM stagedoor_ledger WHERE seq = 5", "DELETE FROM stagedoor_ledger_head"], ids=["tail", "head"]
)
def test_a_broken_chain_is_not_made_longer(filled: Ledger, tamper: Tamper, statement: str) -> None:
    tamper(filled, statement)
    with pytest.raises(LedgerTampered):
        filled.append(draft(6), 2)


def test_the_migrations_make_the_tables_that_queries_expect(ledger: Ledger) -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [REVISION]
    with ledger.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_a_ledger_of_a_later_version_is_left_alone(filled: Ledger, place: str | Path, tamper: Tamper) -> None:
    tamper(filled, "UPDATE stagedoor_ledger_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="later version"):
        open_ledger(place)
    assert filled.verify().sound


def test_a_ledger_shares_a_database_with_other_migrations(new_place: NewPlace) -> None:
    place = new_place()
    database = Database(read_place(place))
    if database.file is not None:
        database.file.parent.mkdir()
        database.file.touch()
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('of MLflow')")
    assert open_ledger(place).verify().sound
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "of MLflow"


def test_a_database_without_its_tables_is_unavailable(filled: Ledger, place: str | Path, tamper: Tamper) -> None:
    tamper(filled, "DROP TABLE stagedoor_ledger")
    for use in (filled.latest, filled.verify, lambda: filled.append(draft(6), 2)):
        with pytest.raises(LedgerUnavailable, match="The ledger's"):
            use()
    with pytest.raises(LedgerUnavailable, match="no ledger"):
        find_ledger(place)


def test_a_schema_is_made_wholly_or_not_at_all(new_place: NewPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    place = new_place()

    def broken(connection: sa.Connection) -> None:
        migrate(connection)
        raise OSError

    migrate = upgrade._migrate  # noqa: SLF001  the step before the commit
    with monkeypatch.context() as patch:
        patch.setattr(upgrade, "_migrate", broken)
        with pytest.raises(LedgerUnavailable):
            open_ledger(place)
    with Database(read_place(place)).reading() as connection:
        assert sa.inspect(connection).get_table_names() == []
    assert open_ledger(place).verify().sound


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.db")
    assert stat.S_IMODE((tmp_path / "ledger.db").stat().st_mode) == 0o600
    with ledger.database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
