"""Versions on their way, side by side, each with callers: the good, the harmful, and those that the gates stop."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from . import models
from .system import CANARY, JUDGED, System
from .traffic import Traffic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SHADOW = f"shadow interval=1s tolerance=5 {JUDGED}"
SECOND = {
    "good": (models.GOOD, CANARY),
    "harmful": (models.HARMFUL, CANARY),
    "alike": (models.GOOD, SHADOW),
    "unlike": (models.OTHER, SHADOW),
    "blue-green": (models.GOOD, f"blue-green bake=3s {JUDGED}"),
    "rolling": (models.GOOD, f"rolling interval=0s bake=2s {JUDGED}"),
    "broken": (models.BROKEN, CANARY),
    "nan": (models.NAN_ON_EXAMPLE, CANARY),
    "narrower": (models.NARROWER, CANARY),
}
TO_BE_REFUSED = ("broken", "nan", "narrower")


@pytest.fixture(scope="module")
def traffic(system: System) -> Iterator[Mapping[str, Traffic]]:
    """Callers of each model, whose version 1 is live and whose version 2 alice has just given the alias."""
    system.with_live(*SECOND, files=models.GOOD)
    with ExitStack() as stack:
        per_second = {name: 10.0 if name in TO_BE_REFUSED else 50.0 for name in SECOND}
        running = {name: stack.enter_context(system.traffic(name, per_second[name])) for name in SECOND}
        for name, (files, strategy) in SECOND.items():
            system.register(name, files)
            system.tag(name, "stagedoor.rollout", strategy)
            system.point(name, "2")
        yield running


def test_a_good_version_is_promoted_through_all_steps(system: System, traffic: Mapping[str, Traffic]) -> None:
    last = system.ends("good", "2", "promoted")
    system.goes_live("good", "2")
    assert system.champion("good") == "2"
    entries = [entry for entry in reversed(system.history("good")["entries"]) if entry["to_version"] == "2"]
    assert [entry["kind"] for entry in entries] == ["started", "traffic_started", "advanced", "promoted"]
    assert {entry["who"] for entry in entries} == {"alice"}
    assert [entry["epoch"] for entry in entries][-1] == last["epoch"]
    seen = traffic["good"]
    assert {"champion", "candidate"} <= {answer.arm for answer in seen.answers}
    assert seen.statuses == {200}
    assert seen.epochs_go_back() == []
    assert system.tags("good", "2")["stagedoor.verdict"].startswith("promoted: ")


def test_a_harmful_version_is_rolled_back_and_no_caller_notices(system: System, traffic: Mapping[str, Traffic]) -> None:
    last = system.ends("harmful", "2", "rolled_back")
    system.goes_live("harmful", "1")
    assert system.champion("harmful") == "1"
    seen = traffic["harmful"]
    assert seen.statuses == {200}
    assert {(answer.version, answer.shielded) for answer in seen.answers} == {("1", ""), ("2", ""), ("1", "2")}
    assert b"null" not in b"".join(answer.body for answer in seen.answers)
    assert seen.epochs_go_back() == []
    verdict = system.tags("harmful", "2")["stagedoor.verdict"]
    assert verdict.startswith("rolled back: ")
    assert last["reason"][:100] in verdict
    (entry,) = [entry for entry in system.history("harmful")["entries"] if entry["kind"] == "rolled_back"]
    assert (entry["from_version"], entry["to_version"], entry["reason"]) == ("2", "1", last["reason"])
    assert entry["evidence"]["counts"]["candidate"]["failed"] > 0
    notices = [line for line in (system.paths.logs / "controller.log").read_text().splitlines() if '"notice"' in line]
    assert [line for line in notices if '"harmful"' in line and '"rolled_back"' in line]


@pytest.mark.parametrize(
    ("name", "gate", "reason"),
    [("broken", "loads", "damaged"), ("nan", "golden", "finite"), ("narrower", "compatibility", "shape")],
)
def test_a_version_that_fails_a_gate_gets_no_request(
    system: System, traffic: Mapping[str, Traffic], name: str, gate: str, reason: str
) -> None:
    system.ends(name, "2", "refused")
    system.goes_live(name, "1")
    assert system.champion(name) == "1"
    tags = system.tags(name, "2")
    assert tags[f"stagedoor.gate.{gate}"].startswith("fail: ")
    assert reason in tags[f"stagedoor.gate.{gate}"]
    assert tags["stagedoor.verdict"].startswith("refused: ")
    assert traffic[name].versions == {"1"}
    assert traffic[name].statuses == {200}


def test_a_shadow_that_answers_alike_is_promoted(system: System, traffic: Mapping[str, Traffic]) -> None:
    last = system.ends("alike", "2", "promoted")
    system.goes_live("alike", "2")
    before = [answer for answer in traffic["alike"].answers if answer.epoch < last["epoch"]]
    assert {answer.version for answer in before} == {"1"}
    assert traffic["alike"].statuses == {200}


def test_a_shadow_that_answers_differently_is_rolled_back_unseen(system: System, traffic: Mapping[str, Traffic]) -> None:
    last = system.ends("unlike", "2", "rolled_back")
    assert "answered differently" in last["reason"]
    system.goes_live("unlike", "1")
    assert system.champion("unlike") == "1"
    assert traffic["unlike"].versions == {"1"}
    assert traffic["unlike"].statuses == {200}


def test_blue_green_switches_at_once_and_the_old_version_returns_at_once(
    system: System, traffic: Mapping[str, Traffic]
) -> None:
    system.ends("blue-green", "2", "promoted")
    system.goes_live("blue-green", "2")
    done = system.stagedoor("rollback", "blue-green", "--wait", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    system.goes_live("blue-green", "1")
    assert system.champion("blue-green") == "1"
    kinds = system.kinds("blue-green")
    assert kinds[-1] == "returned", kinds
    assert kinds.count("started") == 2  # version 1 at first, and version 2; going back needs no trial
    assert traffic["blue-green"].statuses == {200}


def test_rolling_takes_over_the_one_machine(system: System, traffic: Mapping[str, Traffic]) -> None:
    system.ends("rolling", "2", "promoted")
    system.goes_live("rolling", "2")
    assert traffic["rolling"].statuses == {200}
    assert traffic["rolling"].epochs_go_back() == []
