"""The commands before the controller's REST as it is, on a real port: what only asks."""

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROUTE, Controller, Run


def test_history_tells_what_was_live_at_a_moment(run: Run, controller: Controller) -> None:
    controller.decide("1", 100.0)
    controller.decide("2", 200.0)
    result = run("history", "fraud", "--at", "1970-01-01T00:02:30Z")
    assert "Live at 1970-01-01 00:02:30Z: version 1, since 1970-01-01 00:01:40Z" in result.stdout
    assert "promoted" in result.stdout
    assert "Live now: version 2" in run("history", "fraud").stdout
    assert "Live at 1970-01-01 00:00:01Z: nothing." in run("history", "fraud", "--at", "1").stdout


def test_a_tampered_ledger_ends_with_1_and_names_the_row(run: Run, controller: Controller) -> None:
    controller.decide("1", 1.0)
    assert "All 1 rows" in run("ledger", "verify").stdout
    controller.ledger.rows[0]["who"] = "mallory"
    for more in ((), ("--json",)):
        result = run("ledger", "verify", *more)
        assert result.exit_code == 1
        assert "row 1" in result.stderr


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_shows_what_is_served_and_what_is_under_way(run: Run, controller: Controller) -> None:
    controller.show(
        phase="canary",
        candidate="2",
        strategy="canary",
        step=1,
        steps=[100, 500, 10_000],
        weight=500,
        epoch=12,
        who="alice",
        waiting_for="38 more outcomes of version 2 in this step",
        verdict={"kind": "hold", "reason": "no bound is reached", "numbers": {"e_rollback": 0.82, "outcomes": 12}},
        rules={"alpha": 0.05, "beta": 0.05},
        gates=[{"gate": "digest", "outcome": "pass", "reason": "", "evidence": {}}],
    )
    text = run("status").stdout
    for said in (
        "healthy",
        "1 workers",
        "canary",
        "version 2",
        "step 2 of 3",
        "5 %",
        "rollback 0.82 of 20",
        "38 more outcomes",
        "digest",
    ):
        assert said in text
    told = json.loads(run("status", "fraud", "--json").stdout)
    assert (told["serial"], told["rollouts"][0]["candidate"], told["unanswered"]) == (7, "2", [])
    assert "fraud" in run("status", "fraud").stdout


@pytest.mark.parametrize(("dead", "left"), [("gateway", "is live"), ("controller", "healthy")])
def test_status_shows_the_half_that_answers(run: Run, tmp_path: Path, dead: str, left: str) -> None:
    file = tmp_path / "endpoints.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {dead: "http://127.0.0.1:9"}))
    result = run("status")
    assert result.exit_code == 0
    assert f"No {dead} answers" in result.stdout
    assert left in result.stdout


def test_status_says_what_the_controller_itself_waits_for(run: Run, controller: Controller) -> None:
    object.__setattr__(controller.services, "missing", lambda: ("Another controller leads.",))
    assert "controller: Another controller leads." in run("status").stdout


def test_status_with_nobody_there_ends_with_1(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "endpoints.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {"gateway": "http://127.0.0.1:9", "controller": "http://127.0.0.1:9"}))
    assert run("status").exit_code == 1


def test_status_of_an_unknown_model_says_so(run: Run) -> None:
    result = run("status", "nothing")
    assert result.exit_code == 1
    assert "no such model" in result.stderr


# --- why --------------------------------------------------------------------------------------------------------------


LINE = {
    "timestamp": "2026-01-31T12:00:00.000Z",
    "request_id": "abc",
    "bucket": 312,
    "model": "fraud",
    "version": "2",
    "arm": "candidate",
    "epoch": 5,
    "subject": "shop",
    "event": "prediction",
    "outcome": "ok",
}


def _log(tmp_path: Path, *lines: dict[str, Any]) -> None:
    (tmp_path / "logs").mkdir(exist_ok=True)
    (tmp_path / "logs" / "gateway.log").write_text(
        "not json\n" + "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    )


def test_why_tells_route_salt_bucket_weights_epoch_and_subject(run: Run, controller: Controller, tmp_path: Path) -> None:
    controller.decide("1", 100.0, route=ROUTE)
    _log(tmp_path, LINE | {"version": "1"}, LINE, LINE | {"request_id": "abcd"}, {"request_id": "abc", "event": "other"})
    told = json.loads(run("why", "abc", "--json").stdout)
    assert told["request"]["version"] == "2"
    assert told["route"]["salt"] == b"salt".hex()
    assert told["explanation"] == "Bucket 312 lies in 0 to 499, which is candidate's. Version 2 answered."
    text = run("why", "abc").stdout
    for said in ("312", "73616c74", "candidate (version 2) 5 %", "shop", "alice", "step 2"):
        assert said in text


def test_why_without_a_controller_still_tells_what_the_log_holds(run: Run, tmp_path: Path) -> None:
    _log(tmp_path, LINE)
    found = json.loads((tmp_path / "endpoints.json").read_text())
    (tmp_path / "endpoints.json").write_text(json.dumps(found | {"controller": "http://127.0.0.1:9"}))
    result = run("why", "abc")
    assert result.exit_code == 0
    assert "Version 2 answered, as candidate." in result.stdout
    assert "No controller answers" in result.stdout


def test_why_of_an_unknown_request_says_where_to_look(run: Run, tmp_path: Path) -> None:
    assert "--log" in run("why", "abc").stderr
    _log(tmp_path, LINE)
    result = run("why", "unknown")
    assert result.exit_code == 1
    assert "STAGEDOOR_LOG_REQUESTS" in result.stderr
