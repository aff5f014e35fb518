"""What the terminal shows of a rollout, and when waiting for one ends."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from stagedoor.cli.drill import sentence as drilled
from stagedoor.cli.endings import ending_of, progress_of
from stagedoor.cli.experiment import picture
from stagedoor.cli.history import lines
from stagedoor.cli.rollout_view import ago, rollouts
from stagedoor.cli.why import explain

CANARY: dict[str, Any] = {
    "model": "fraud",
    "stable": "7",
    "phase": "canary",
    "candidate": "8",
    "strategy": "canary steps=1,5,25,50,100",
    "step": 1,
    "steps": [100, 500, 2500, 5000, 10_000],
    "weight": 500,
    "epoch": 12,
    "who": "alice",
    "waiting_for": "38 more outcomes of version 8 in this step",
    "verdict": {
        "kind": "hold",
        "reason": "Neither bound is reached.",
        "numbers": {"e_rollback": 0.8234, "e_promote": 3.1, "e_ratio": 1.0, "outcomes": 12, "failures": 2},
    },
    "rules": {"alpha": 0.05, "beta": 0.1},
    "gates": [
        {"gate": "digest", "outcome": "pass", "reason": "", "evidence": {}},
        {"gate": "golden", "outcome": "fail", "reason": "row 3 is not finite", "evidence": {}},
        {"gate": "approval", "outcome": "wait", "reason": "a second person", "evidence": {}},
    ],
    "last": {"outcome": "rolled_back", "version": "6", "reason": "9 of 10 failed", "at": 940.0, "epoch": 9},
    "problems": ["gateway b does not answer"],
}
IDLE: dict[str, Any] = {"model": "another", "stable": "3", "phase": "idle", "candidate": None, "last": None}


def shown(what: Any, width: int = 140) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(what)
    return file.getvalue()


def test_a_canary_shows_steps_evidence_with_bounds_and_what_it_waits_for() -> None:
    text = shown(rollouts([CANARY], now=1000.0))
    for said in (
        "fraud  canary  version 8 to replace 7",
        "5 %  step 2 of 5: 1 % 5 % 25 % 50 % 100 %",
        "rollback 0.823 of 20, promotion 3.1 of 10, uneven split 1 of 1000",
        "12 outcomes, 2 failures",
        "hold: Neither bound is reached.",
        "waits for 38 more outcomes",
        "gates passed: digest",
        "✗ golden: row 3 is not finite",
        "… approval: a second person",
        "last: version 6 rolled back 1 min ago: 9 of 10 failed",
        "problem: gateway b does not answer",
        "by alice",
        "epoch 12",
    ):
        assert said in text


@pytest.mark.parametrize("width", [20, 40, 79])
def test_a_narrow_terminal_loses_nothing(width: int) -> None:
    text = shown(rollouts([CANARY, IDLE], now=1000.0), width)
    assert all(len(line) <= width for line in text.splitlines())
    squeezed = "".join(text.split())
    for said in ("Neitherboundisreached.", "38moreoutcomesofversion8inthisstep", "row3isnotfinite", "gatewaybdoesnotanswer"):
        assert said in squeezed


def test_what_is_under_way_comes_first_and_what_is_idle_takes_a_line() -> None:
    text = shown(rollouts([IDLE, CANARY], now=1000.0))
    assert text.index("fraud") < text.index("another")
    assert "another  idle  version 3 is live" in text
    assert "gates" not in shown(rollouts([IDLE | {"gates": CANARY["gates"][:1]}]))
    assert "nothing is live" in shown(rollouts([IDLE | {"stable": None}]))


def test_names_and_reasons_are_never_taken_for_markup() -> None:
    text = shown(rollouts([CANARY | {"model": "[red]odd[/]", "waiting_for": "[bold]x[/]"}]))
    assert "[red]odd[/]" in text
    assert "[bold]x[/]" in text


def test_an_account_with_little_in_it_is_shown_all_the_same() -> None:
    assert "fraud" in shown(rollouts([{"model": "fraud"}]))
    bare = {"model": "fraud", "phase": "gating", "candidate": "1", "verdict": None, "steps": [], "weight": None}
    assert "version 1 as the first" in shown(rollouts([bare]))
    odd = CANARY | {"verdict": {"kind": "hold", "numbers": {"e_rollback": "Infinity"}}, "rules": None}
    assert "rollback Infinity of 20" in shown(rollouts([odd]))


@pytest.mark.parametrize(
    ("account", "outcome"),
    [
        ({"stable": "7", "candidate": "8"}, None),
        ({"stable": "7", "candidate": None}, None),
        ({"stable": "8", "candidate": None}, "promoted"),
        ({"stable": "8", "candidate": "9"}, None),
        ({"stable": "8", "last": {"version": "8", "outcome": "promoted", "at": 100.0, "reason": ""}}, "promoted"),
        ({"stable": "7", "last": {"version": "8", "outcome": "rolled_back", "at": 99.9, "reason": ""}}, None),
        ({"stable": "7", "last": {"version": "8", "outcome": "rolled_back", "at": 100.0, "reason": ""}}, "rolled_back"),
        ({"stable": "7", "last": {"version": "6", "outcome": "refused", "at": 101.0, "reason": ""}}, None),
        ({}, None),
    ],
)
def test_a_wait_ends_with_the_version_that_was_asked_for_and_no_other(account: dict[str, Any], outcome: str | None) -> None:
    ending = ending_of(account, "8", 100.0)
    assert (ending.outcome if ending else None) == outcome


def test_endings_say_what_became_of_the_version_and_why() -> None:
    def said(outcome: str, reason: str) -> str:
        last = {"version": "8", "outcome": outcome, "at": 1.0, "reason": reason}
        return str(ending_of({"last": last}, "8", 0.0))

    assert said("rolled_back", "9 of 10 failed.") == "Version 8 was rolled back: 9 of 10 failed."
    assert said("returned", "") == "Version 8 is live again."
    assert said("refused", "golden: row 3") == "Version 8 was refused: golden: row 3."


def test_progress_is_one_line() -> None:
    waits = "waits for 38 more outcomes of version 8 in this step"
    assert progress_of(CANARY) == f"fraud: canary, version 8; 5 %; {waits}; problem: gateway b does not answer"
    assert progress_of({"model": "fraud"}) == "fraud: unknown"


@pytest.mark.parametrize(("seconds", "said"), [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7300, "2 h"), (200_000, "2 d")])
def test_time_spans_read_as_people_say_them(seconds: float, said: str) -> None:
    assert ago(seconds) == said


def test_history_folds_in_a_narrow_terminal() -> None:
    entry = {
        "seq": 1,
        "at": 0.0,
        "kind": "rolled_back",
        "from_version": "8",
        "to_version": "7",
        "live": "7",
        "epoch": 3,
        "who": "[b]alice",
        "reason": "a rather long reason for going back",
    }
    wide = shown(lines([entry]))
    assert "8 → 7" in wide
    assert "[b]alice" in wide
    narrow = shown(lines([entry]), 60)
    assert "…" not in narrow
    assert "      a rather long reason for going back" in narrow


def test_an_experiment_shows_users_rates_and_an_interval() -> None:
    arm = {"arm": "champion", "version": "7", "share": 0.9, "units": 900, "outcomes": 900, "failures": 9, "rate": 0.01}
    other = arm | {"arm": "challenger", "version": "8", "share": 0.1, "difference": {"value": 0.01, "low": -0.02, "high": 0.04}}
    report = {"unit": "users", "arms": [arm, other], "ratio": {"e_value": 1.0, "alarm": False}, "advice": "Wait."}
    text = shown(picture(report))
    for said in ("users", "90 %", "1 %", "+1 [-2, +4]", "as it was meant to be", "Wait."):
        assert said in text
    alarmed = report | {"ratio": {"e_value": 5000.0, "alarm": True}}
    assert "not as it was meant" in shown(picture(alarmed))
    unknown = report | {"arms": [arm | {"rate": None}, other | {"difference": {"value": None, "low": -1.0, "high": 1.0}}]}
    assert "? [-100, +100]" in shown(picture(unknown))


ROUTE = {
    "arms": [
        {"name": "champion", "version": "7", "weight": 8500},
        {"name": "a", "version": "8", "weight": 500},
        {"name": "b", "version": "9", "weight": 1000},
    ]
}


@pytest.mark.parametrize(
    ("bucket", "said"),
    [
        (0, "0 to 499, which is a's"),
        (499, "a's"),
        (500, "500 to 1499, which is b's"),
        (1500, "champion's"),
        (9999, "1500 to 9999"),
    ],
)
def test_why_explains_a_bucket_as_the_gateway_stacks_its_arms(bucket: int, said: str) -> None:
    assert said in explain({"version": "8", "arm": "a", "bucket": bucket}, ROUTE)


def test_why_knows_requests_that_no_split_decided() -> None:
    assert explain({"version": "8", "arm": "champion"}, None) == "Version 8 answered, as champion."
    assert explain({"outcome": "client_error", "code": "schema_mismatch"}, None) == "No version answered: schema_mismatch."
    line = json.loads('{"version": "7", "arm": "champion", "shielded_from": "8"}')
    assert explain(line, None) == "Version 8 failed, and version 7 answered in its place."
    assert explain(line | {"bucket": 3}, ROUTE).startswith("Bucket 3 lies in 0 to 499, which is a's. Version 8 failed")


def test_a_drill_is_told_in_words() -> None:
    report = {
        "found": True,
        "reason": "The fault was found.",
        "seconds_to_rollback": 2.5,
        "seconds_since_start": 3.1,
        "sent": 60,
        "candidate": 30,
        "shielded": 15,
        "errors": 0,
        "slowest": 0.2,
    }
    assert "closed 2.5 s after the first request" in drilled(report)
    assert "closed 3.1 s after the start" in drilled(report | {"seconds_to_rollback": None})
    assert "closed" not in drilled(report | {"found": False})
