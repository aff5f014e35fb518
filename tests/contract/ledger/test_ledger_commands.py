"""`python -m registry_hooks.ledger`, with no controller running."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from registry_hooks.ledger import Ledger, find_ledger, open_ledger
from registry_hooks.ledger.__main__ import main
from stagedoor.paths import StatePaths

from .conftest import Tamper, draft


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with a ledger of three rows."""
    ledger = open_ledger(StatePaths(tmp_path).ledger)
    generation = ledger.begin_generation("one")
    for number in (1, 2, 3):
        ledger.append(draft(number), generation)
    return tmp_path


@pytest.fixture
def books(state: Path) -> Ledger:
    return find_ledger(StatePaths(state).ledger)


def _run(state: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--state", str(state), *words])


def _json(state: Path, *words: str) -> Any:
    return json.loads(_run(state, *words, "--json").output)


def test_a_sound_ledger_is_said_to_be_so(state: Path, books: Ledger) -> None:
    head = books.verify().head
    result = _run(state, "verify")
    assert (result.exit_code, result.output) == (0, f"3 rows, each as it was written. Head: {head}\n")
    assert _json(state, "verify") == {"rows": 3, "sound": True, "first_bad": None, "why": "", "head": head}


def test_a_tampered_row_is_named(state: Path, books: Ledger, tamper: Tamper) -> None:
    tamper(books, "UPDATE stagedoor_ledger SET who = 'mallory' WHERE seq = 2")
    result = _run(state, "verify")
    assert result.exit_code == 1
    assert result.output == "Row 2 was changed after it was written. The 1 rows before are sound.\n"
    found = _json(state, "verify")
    assert (found["sound"], found["first_bad"], found["rows"]) == (False, 2, 1)


def test_a_ledger_written_anew_is_found_by_a_head_noted_earlier(state: Path, books: Ledger) -> None:
    noted = books.verify().head
    books.append(draft(4), 1)
    assert _run(state, "verify", "--head", noted).exit_code == 0
    result = _run(state, "verify", "--head", "0" * 64)
    assert result.exit_code == 1
    assert "written anew" in result.output


def test_history_tells_what_was_live_at_a_time(state: Path) -> None:
    assert _run(state, "history", "fraud", "--at", "1002.5").output.splitlines()[0] == "Live at 1970-01-01T00:16:42Z: version 3"
    found = _json(state, "history", "fraud", "--at", "1970-01-01T01:16:42.5+01:00")
    assert (found["live"], [entry["seq"] for entry in found["entries"]]) == ("3", [2, 1])


def test_history_shows_the_newest_first(state: Path) -> None:
    lines = _run(state, "history", "fraud", "--limit", "2").output.splitlines()
    assert [line.split()[0] for line in lines] == ["3", "2"]
    assert " ".join(lines[0].split()) == "3 1970-01-01T00:16:43Z promoted 3 -> 4 alice no worse in 400 outcomes"


def test_what_was_never_heard_of_has_no_history(state: Path) -> None:
    assert "Nothing was decided" in _run(state, "history", "unheard").output
    assert _json(state, "history", "unheard", "--at", "5") == {"model": "unheard", "at": 5.0, "live": None, "entries": []}


def test_a_time_that_is_none_is_wrong_use(state: Path) -> None:
    result = _run(state, "history", "fraud", "--at", "teatime")
    assert result.exit_code == 2
    assert "2026-01-31" in result.output


@pytest.mark.parametrize("words", [("verify",), ("history", "fraud")])
def test_without_a_ledger_nothing_is_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = _run(tmp_path, *words)
    assert result.exit_code == 3
    assert "no ledger" in result.output
    assert list(tmp_path.iterdir()) == []
