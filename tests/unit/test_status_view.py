"""What `stagedoor status` shows."""

import io
from typing import Any

import pytest
from rich.console import Console

from stagedoor.cli.status_view import bar, percent, view

SPLIT: dict[str, Any] = {
    "version": "0.1.0",
    "serial": 7,
    "health": {"status": "degraded", "reasons": ["1 version was refused; `stagedoor status` says why."]},
    "staleness_seconds": 0.4,
    "registry": {"error": None},
    "models": [
        {
            "name": "fraud",
            "aliases": {"champion": "2", "challenger": "3"},
            "route": {
                "epoch": 6,
                "arms": [
                    {"name": "champion", "version": "2", "weight": 9000},
                    {"name": "challenger", "version": "3", "weight": 1000},
                ],
            },
            "versions": [
                {"version": "3", "state": "ready", "compiled": "ab12"},
                {"version": "4", "state": "refused", "code": "load_failed", "reason": "no"},
            ],
            "problems": ["alias next: version 4 was refused (load_failed): no; nothing serves in its place"],
        },
        {"name": "[red]odd[/]", "route": None, "versions": [], "problems": []},
    ],
    "workers": [{"pid": 11, "serial": 7}, {"pid": 12, "serial": 6}],
}


def _shown(status: dict[str, Any]) -> str:
    file = io.StringIO()
    Console(file=file, width=140, color_system=None).print(view(status))
    return file.getvalue()


def test_a_split_shows_each_arm_with_its_share() -> None:
    text = _shown(SPLIT)
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "90 %" in lines["fraud"]
    assert "champion" in lines["fraud"]
    challenger = next(line for line in text.splitlines() if "challenger" in line)
    assert "10 %" in challenger
    assert "3 compiled" in challenger
    assert "compiled" not in lines["fraud"]
    assert "3" in challenger


def test_problems_refusals_and_lagging_workers_are_shown() -> None:
    text = _shown(SPLIT)
    assert "4 (load_failed)" in text
    assert "fraud: alias next: version 4 was refused" in text
    assert "worker 12 is at snapshot 6" in text
    assert "worker 11" not in text
    assert "degraded" in text


def test_names_are_never_taken_for_markup() -> None:
    assert "[red]odd[/]" in _shown(SPLIT)


def test_an_empty_registry_says_how_to_begin() -> None:
    text = _shown({"serial": 0, "models": [], "workers": [], "staleness_seconds": None, "registry": None})
    assert "champion" in text
    assert "registry never read" in text
    assert "0 workers" in text


def test_what_mlflow_said_last_is_shown() -> None:
    assert "MLflow: it does not answer" in _shown(SPLIT | {"registry": {"error": "it does not answer"}})


@pytest.mark.parametrize(("weight", "filled"), [(0, 0), (1, 1), (499, 1), (5000, 10), (9999, 19), (10_000, 20)], ids=str)
def test_a_bar_shows_nothing_only_for_nothing_and_all_only_for_all(weight: int, filled: int) -> None:
    assert bar(weight) == "█" * filled + "░" * (20 - filled)


def test_percentages_read_as_people_write_them() -> None:
    assert [percent(w) for w in (0, 1, 1250, 10_000)] == ["0 %", "0.01 %", "12.5 %", "100 %"]
