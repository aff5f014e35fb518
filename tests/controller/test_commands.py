"""The commands before the controller's REST as it is, on a real port: what changes something."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from stagedoor.local.endpoints import Endpoints

from .conftest import ROUTE, Controller, Run, champion
from .serving_apps import FakeGateway


def tell(controller: Controller, monkeypatch: pytest.MonkeyPatch, *rows: dict[str, Any]) -> None:
    """Let the controller say one thing after another of fraud, the last for good. The first is what a command is answered."""
    left = list(rows)
    base = {"model": "fraud", "stable": "1", "phase": "idle", "candidate": None}
    monkeypatch.setattr(controller.desk, "model", lambda _: base | (left.pop(0) if len(left) > 1 else left[0]))


def test_promoting_takes_the_wish_down(run: Run, controller: Controller) -> None:
    result = run("promote", "fraud", "2", "--strategy", "canary steps=10,100")
    assert result.exit_code == 0, result.output
    assert champion(controller) == "2"
    assert controller.registry.model("fraud").tags["stagedoor.rollout"] == "canary steps=10,100"
    assert "is asked for" in result.stdout


def test_every_command_has_json(run: Run, controller: Controller) -> None:
    controller.registry.set_alias("fraud", "challenger", "2")
    controller.decide("2", 50.0)
    controller.decide("1", 100.0, route=ROUTE)
    lines: tuple[tuple[str, ...], ...] = (
        ("pause", "fraud"),
        ("resume", "fraud"),
        ("abort", "fraud"),
        ("traffic", "fraud", "champion=90,challenger=10"),
        ("traffic", "fraud", "--off"),
        ("approve", "fraud", "2"),
        ("history", "fraud"),
        ("ledger", "verify"),
        ("status",),
        ("rollback", "fraud", "--to", "1.1.0"),
    )
    for line in lines:
        result = run(*line, "--json")
        assert result.exit_code == 0, (line, result.output)
        assert isinstance(json.loads(result.stdout), dict), line
        if line[0] not in {"status", "history", "ledger"}:
            assert json.loads(result.stdout)["asked_at"]


@pytest.mark.parametrize(
    "line",
    [
        ("promote", "fraud"),
        ("promote", "fraud", "2", "--now"),
        ("promote", "fraud", "--now", "--strategy", "canary"),
        ("traffic", "fraud"),
        ("traffic", "fraud", "champion=100", "--off"),
        ("drill", "fraud", "--fault", "fire"),
        ("drill", "fraud", "--fault", "nan", "--rate", "0"),
        ("history", "fraud", "--limit", "0"),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, line: tuple[str, ...]) -> None:
    assert run(*line).exit_code == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("promote", "fraud", "9"), "There is no model fraud/9"),
        (("promote", "nothing", "1"), "There is no model nothing"),
        (("promote", "fraud", "2", "--strategy", "hope"), "begin with one of"),
        (("promote", "fraud", "--now"), "No rollout of this model is under way"),
        (("rollback", "fraud"), "--to"),
        (("traffic", "fraud", "champion=90"), "add up"),
        (("history", "fraud", "--at", "yesterday"), "no time"),
        (("experiment", "fraud"), "not split"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_1(run: Run, line: tuple[str, ...], said: str) -> None:
    result = run(*line)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


def test_waiting_ends_with_the_version_live(run: Run, controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = {"phase": "canary", "candidate": "2", "weight": 500, "waiting_for": "38 more outcomes of version 2"}
    tell(controller, monkeypatch, {}, canary, {"stable": "2"})
    result = run("promote", "fraud", "2", "--wait")
    assert result.exit_code == 0, result.output
    assert "Version 2 is live." in result.stdout
    assert "38 more outcomes" in result.stderr


@pytest.mark.parametrize("outcome", ["refused", "rolled_back", "aborted"])
def test_waiting_for_a_version_that_is_turned_back_ends_with_3_and_the_reason(
    run: Run, controller: Controller, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    old = {"outcome": "promoted", "version": "2", "reason": "long ago", "at": 1.0, "epoch": 1}
    now = {"outcome": outcome, "version": "2", "reason": "it failed 9 of 10 times", "at": time.time() + 60, "epoch": 2}
    tell(controller, monkeypatch, {"last": old}, {"last": old}, {"last": now})
    result = run("promote", "fraud", "2", "--wait")
    assert result.exit_code == 3
    assert "it failed 9 of 10 times" in result.stderr


def test_waiting_ends_with_4_when_the_time_is_up(run: Run) -> None:
    result = run("promote", "fraud", "2", "--wait", "--timeout", "0.1")
    assert result.exit_code == 4
    assert "still on its way" in result.stderr


def test_rolling_back_can_be_waited_for(run: Run, controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    controller.show(stable="3")
    controller.registry.set_alias("fraud", "champion", "3")
    controller.decide("2", 1.0)
    controller.decide("3", 2.0)
    tell(controller, monkeypatch, {"stable": "3"}, {"stable": "3"}, {"stable": "2"})
    result = run("rollback", "fraud", "--wait")
    assert result.exit_code == 0, result.output
    assert "Version 2 is live." in result.stdout


# --- where tokens go --------------------------------------------------------------------------------------------------


def test_a_token_of_up_goes_to_no_other_controller(run: Run) -> None:
    result = run("pause", "fraud", "--controller", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "--token" in result.stderr


def test_an_up_without_a_controller_says_how_to_name_one(run: Run, tmp_path: Path) -> None:
    Endpoints("http://m", "http://g", None, {"promoter": "p"}).write(tmp_path / "endpoints.json")
    result = run("pause", "fraud")
    assert result.exit_code == 1
    assert "--controller" in result.stderr


def test_a_controller_can_be_named_without_any_up(run: Run, controller: Controller, tmp_path: Path) -> None:
    address = json.loads((tmp_path / "endpoints.json").read_text())["controller"]
    (tmp_path / "endpoints.json").unlink()
    result = run("pause", "fraud", "--controller", address, "--token", controller.token("promoter", subject="ci"))
    assert result.exit_code == 0, result.output
    assert controller.registry.model("fraud").tags["stagedoor.control"] == "pause"


def test_what_answers_in_place_of_a_controller_is_named(run: Run, tmp_path: Path) -> None:
    found = json.loads((tmp_path / "endpoints.json").read_text())
    (tmp_path / "endpoints.json").write_text(json.dumps(found | {"controller": found["gateway"]}))
    result = run("pause", "fraud")
    assert result.exit_code == 1
    assert "is not a Stagedoor controller" in result.stderr


# --- drill ------------------------------------------------------------------------------------------------------------


def test_a_drill_reports_the_time_to_rollback_and_leaves_nothing(
    run: Run, controller: Controller, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = {"outcome": "drilled", "version": "1", "reason": "The fault was found.", "at": time.time() + 60, "epoch": 3}
    tell(controller, monkeypatch, {}, {}, {}, {}, {"last": last})
    result = run("drill", "fraud", "--fault", "error", "--rate", "0.5", "--requests-per-second", "50", "--json")
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["found"] is True
    assert 0 < report["seconds_to_rollback"] < 5
    assert report["shielded"] > 0
    assert report["errors"] == 0
    assert len(set(gateway.cohorts)) == 1
    assert json.loads(gateway.bodies[0]) == {"dataframe_split": {"columns": ["amount", "country"], "data": [[0.0, ""]]}}
    assert "stagedoor.drill" not in controller.registry.model("fraud").tags


def test_a_fault_that_nobody_finds_ends_with_1_and_leaves_nothing(run: Run, controller: Controller) -> None:
    result = run("drill", "fraud", "--fault", "nan", "--seconds", "1")
    assert result.exit_code == 1
    assert "not found" in result.stderr
    assert "requests of the cohort" in result.stdout
    assert "stagedoor.drill" not in controller.registry.model("fraud").tags


def test_a_body_that_the_live_version_refuses_starts_no_drill(
    run: Run, controller: Controller, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.answer = 422
    (tmp_path / "body.json").write_text("{}")
    result = run("drill", "fraud", "--fault", "nan", "--body", str(tmp_path / "body.json"))
    assert result.exit_code == 1
    assert "--body" in result.stderr
    assert gateway.bodies == [b"{}"]
    assert controller.registry.model("fraud").tags == {}
