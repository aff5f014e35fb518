"""The demo's third act and closing words: what people read."""

import json
from collections import Counter
from pathlib import Path

import pytest

from stagedoor.cli.demo_view import callers_line, evidence_line
from stagedoor.cli.welcome import next_steps
from stagedoor.demo.callers import Seen, bodies
from stagedoor.demo.catalog import ROLLOUT, rows_file
from stagedoor.domain.strategy import Strategy
from stagedoor.errors import ConfigurationError
from stagedoor.local.endpoints import Endpoints


def test_every_other_request_is_of_a_patient_with_a_zero(tmp_path: Path) -> None:
    file = rows_file(tmp_path)
    file.write_text(json.dumps({"columns": ["a", "b"], "with_zero": [[0, 1]], "without_zero": [[1, 2], [3, 4]]}))
    sent = [json.loads(body)["dataframe_split"] for body in bodies(file)]
    assert [one["data"][0] for one in sent] == [[0, 1], [1, 2], [0, 1], [3, 4]]
    assert all(one["columns"] == ["a", "b"] for one in sent)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"columns": [], "with_zero": 1, "without_zero": []}'])
def test_without_the_demos_rows_it_says_how_to_get_them(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        rows_file(tmp_path).write_text(text)
    with pytest.raises(ConfigurationError, match="stagedoor up --demo"):
        bodies(rows_file(tmp_path))


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (Seen(), "Callers: 0 requests, 0 errors."),
        (Seen(3, 0, 0, Counter({"2": 3})), "Callers: 3 requests, 0 errors; answered 3 by version 2."),
        (
            Seen(9, 1, 2, Counter({"4": 1, "2": 7})),
            (
                "Callers: 9 requests, 1 errors; answered 7 by version 2, 1 by version 4. "
                "2 of these answers stand in for one that the new version failed."
            ),
        ),
    ],
)
def test_the_callers_view_in_a_sentence(seen: Seen, line: str) -> None:
    assert callers_line(seen) == line


@pytest.mark.parametrize(
    ("account", "line"),
    [
        ({}, ""),
        ({"verdict": None, "rules": {"alpha": 0.05}}, ""),
        ({"verdict": {"numbers": {"outcomes": 3}}, "rules": {"alpha": 0.05}}, ""),
        ({"verdict": {"numbers": {"e_rollback": 3.14159}}, "rules": None}, ""),
        ({"verdict": {"numbers": {"e_rollback": 3.14159}}, "rules": {"alpha": 0.05}}, "e-value for a rollback 3.14 of 20"),
        ({"verdict": {"numbers": {"e_rollback": "inf"}}, "rules": {"alpha": 0.01}}, "e-value for a rollback inf of 100"),
    ],
)
def test_the_e_value_stands_beside_its_threshold(account: dict[str, object], line: str) -> None:
    assert evidence_line(account) == line


def test_with_a_controller_the_closing_words_name_the_third_act_and_what_a_canary_needs() -> None:
    told = next_steps(Endpoints("http://m", "http://g", "http://c", {}), "stagedoor {} --state X")
    assert "\nstagedoor demo --state X\n" in told
    assert "\nstagedoor demo --traffic --state X\n" in told
    assert "stagedoor.traffic" not in told


def test_without_one_they_promise_no_canary() -> None:
    told = next_steps(Endpoints("http://m", "http://g", None, {}), "stagedoor {}")
    assert "demo" not in told
    assert "champion=90,challenger=10" in told


def test_the_demos_strategy_can_be_read_and_has_the_steps_that_are_announced() -> None:
    assert Strategy.parse(ROLLOUT).steps == (1000, 5000, 10000)
