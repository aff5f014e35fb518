"""Commands become writes to the registry, and nothing else."""

import json
import time
from typing import Any

import pytest

from stagedoor.errors import (
    Conflict,
    InvalidRequest,
    InvalidTag,
    MalformedName,
    ModelNotFound,
    OwnApproval,
    RegistryConflict,
    StagedoorError,
)

from .conftest import Controller, champion, tags


def test_promoting_moves_the_alias_and_signs_for_the_person(controller: Controller) -> None:
    answer = controller.desk.promote("fraud", "2", who="alice", strategy="canary steps=10,100")
    assert champion(controller) == "2"
    assert tags(controller)["stagedoor.rollout"] == "canary steps=10,100"
    subject, version, moment = tags(controller)["stagedoor.by.champion"].split("\t")
    assert (subject, version) == ("alice", "2")
    assert moment.endswith("+00:00")
    assert answer["model"] == "fraud"
    assert answer["asked_at"] == pytest.approx(time.time(), abs=5)


def test_promoting_twice_is_promoting_once(controller: Controller) -> None:
    controller.desk.promote("fraud", "2", who="alice")
    before = tags(controller)
    controller.desk.promote("fraud", "2", who="bob")
    assert tags(controller) == before


def test_promoting_another_alias_leaves_the_champion(controller: Controller) -> None:
    controller.desk.promote("fraud", "3", who="alice", alias="challenger")
    assert controller.registry.model("fraud").aliases == {"champion": "1", "challenger": "3"}
    assert tags(controller)["stagedoor.by.challenger"].startswith("alice\t3\t")


@pytest.mark.parametrize("phase", ["gating", "canary", "shadow", "rolling", "baking", "paused", "held", "frozen", "drill"])
def test_a_version_on_its_way_is_not_overtaken(controller: Controller, phase: str) -> None:
    controller.registry.set_alias("fraud", "champion", "2")
    controller.show(phase=phase, candidate="2")
    with pytest.raises(Conflict, match="Version 2 is on its way"):
        controller.desk.promote("fraud", "3", who="bob")
    assert champion(controller) == "2"


def test_a_wish_that_the_controller_has_not_seen_yet_is_not_overtaken_either(controller: Controller) -> None:
    controller.registry.set_alias("fraud", "champion", "2")
    with pytest.raises(Conflict, match="Version 2"):
        controller.desk.promote("fraud", "3", who="bob")


def test_after_a_refusal_another_version_can_be_promoted(controller: Controller) -> None:
    controller.registry.set_alias("fraud", "champion", "2")
    controller.show(phase="refused", candidate=None)
    controller.desk.promote("fraud", "3", who="bob")
    assert champion(controller) == "3"


def test_a_running_rollout_keeps_its_strategy(controller: Controller) -> None:
    controller.registry.set_alias("fraud", "champion", "2")
    controller.show(phase="canary", candidate="2")
    controller.desk.promote("fraud", "2", who="alice")
    with pytest.raises(Conflict, match="another strategy"):
        controller.desk.promote("fraud", "2", who="alice", strategy="immediate")


@pytest.mark.parametrize(
    ("version", "strategy", "error"),
    [("9", None, ModelNotFound), ("08", None, MalformedName), ("2", "canary steps=0", InvalidTag), ("2", "hope", InvalidTag)],
)
def test_what_cannot_be_promoted_changes_nothing(
    controller: Controller, version: str, strategy: str | None, error: type[StagedoorError]
) -> None:
    with pytest.raises(error):
        controller.desk.promote("fraud", version, who="alice", strategy=strategy)
    assert champion(controller) == "1"
    assert tags(controller) == {}


def test_an_unknown_model_is_not_found(controller: Controller) -> None:
    with pytest.raises(ModelNotFound):
        controller.desk.promote("nothing", "1", who="alice")


def test_somebody_quicker_wins(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = controller.registry.model("fraud")
    controller.registry.set_alias("fraud", "champion", "3")
    monkeypatch.setattr(controller.registry, "model", lambda _: seen)
    with pytest.raises(RegistryConflict):
        controller.desk.promote("fraud", "2", who="alice")
    monkeypatch.undo()
    assert champion(controller) == "3"
    assert tags(controller) == {}


def test_who_loses_a_race_never_signs_for_the_winner(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    move = controller.registry.move_alias

    def bob_is_quicker(*arguments: Any, **more: Any) -> None:
        move("fraud", "champion", "3", expected="1", who="bob")
        move(*arguments, **more)

    monkeypatch.setattr(controller.registry, "move_alias", bob_is_quicker)
    with pytest.raises(RegistryConflict):
        controller.desk.promote("fraud", "2", who="alice")
    assert tags(controller)["stagedoor.by.champion"].split("\t")[:2] == ["bob", "3"]


def test_the_desk_signs_where_the_registry_does_not(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    move = controller.registry.move_alias

    def unsigned(*arguments: Any, who: str, **more: Any) -> None:
        assert who == "alice"
        move(*arguments, **more)

    monkeypatch.setattr(controller.registry, "move_alias", unsigned)
    controller.desk.promote("fraud", "2", who="alice")
    assert tags(controller)["stagedoor.by.champion"].split("\t")[:2] == ["alice", "2"]


def test_traffic_by_hand_takes_the_place_of_a_strategy(controller: Controller) -> None:
    controller.registry.set_alias("fraud", "challenger", "2")
    controller.registry.set_tag("fraud", "stagedoor.rollout", "immediate")
    controller.desk.traffic("fraud", "champion=90,challenger=10", who="bob", sticky="header:X-User-Id")
    assert tags(controller) == {"stagedoor.traffic": "champion=90,challenger=10", "stagedoor.sticky": "header:X-User-Id"}
    controller.desk.traffic("fraud", None, who="bob")
    assert tags(controller) == {"stagedoor.sticky": "header:X-User-Id"}
    controller.desk.traffic("fraud", None, who="bob", sticky=None)
    assert tags(controller) == {}


@pytest.mark.parametrize(
    ("policy", "sticky", "error"),
    [
        ("champion=90", "keep", InvalidTag),
        ("champion=90,nobody=10", "keep", InvalidRequest),
        ("champion=100", "cookie:x", InvalidTag),
    ],
)
def test_a_policy_that_cannot_be_is_refused_before_anything_is_written(
    controller: Controller, policy: str, sticky: str, error: type[StagedoorError]
) -> None:
    with pytest.raises(error):
        controller.desk.traffic("fraud", policy, who="bob", sticky=sticky)
    assert tags(controller) == {}


def test_a_rollout_and_a_split_by_hand_exclude_each_other(controller: Controller) -> None:
    controller.show(phase="canary", candidate="2")
    with pytest.raises(Conflict, match="Version 2"):
        controller.desk.traffic("fraud", "champion=100", who="bob")
    controller.show()
    controller.desk.traffic("fraud", "champion=100", who="bob")
    with pytest.raises(Conflict, match="by hand"):
        controller.desk.promote("fraud", "2", who="bob", strategy="canary")


def test_approving_takes_a_second_person(controller: Controller) -> None:
    controller.desk.promote("fraud", "2", who="alice")
    with pytest.raises(OwnApproval):
        controller.desk.approve("fraud", "2", who="alice")
    controller.desk.approve("fraud", "2", who="bob")
    controller.desk.approve("fraud", "2", who="carol")
    assert controller.registry.version("fraud", "2").tags["stagedoor.approved"] == "bob"


def test_who_approved_does_not_promote_where_two_are_asked_for(controller: Controller) -> None:
    controller.desk.approve("fraud", "2", who="bob")
    controller.registry.set_tag("fraud", "stagedoor.approval", "required")
    with pytest.raises(OwnApproval):
        controller.desk.promote("fraud", "2", who="bob")
    controller.desk.promote("fraud", "2", who="alice")
    assert champion(controller) == "2"


def test_whom_the_board_names_as_promoter_does_not_approve(controller: Controller) -> None:
    controller.show(phase="gating", candidate="2", who="alice")
    with pytest.raises(OwnApproval):
        controller.desk.approve("fraud", "2", who="alice")


def test_a_drill_names_its_cohort_and_its_end(controller: Controller) -> None:
    told = controller.desk.drill("fraud", "error", 0.5, seconds=60, who="root")
    written: dict[str, Any] = json.loads(tags(controller)["stagedoor.drill"])
    assert written == {"fault": "error", "rate": 0.5, "cohort": told["cohort"], "until": told["until"], "by": "root"}
    assert told["until"] == pytest.approx(time.time() + 60, abs=5)
    with pytest.raises(Conflict, match="drill"):
        controller.desk.drill("fraud", "nan", 0.5, seconds=60, who="root")
    for _ in range(2):
        controller.desk.end_drill("fraud", who="root")
        assert tags(controller) == {}


def test_a_drill_that_is_over_or_unreadable_makes_room(controller: Controller) -> None:
    for left in (json.dumps({"until": time.time() - 1}), "nonsense", "[]"):
        controller.registry.set_tag("fraud", "stagedoor.drill", left)
        controller.desk.drill("fraud", "latency", 1.0, seconds=1, who="root")
        controller.registry.set_tag("fraud", "stagedoor.drill", None)


def test_a_model_not_on_the_board_yet_can_be_promoted(controller: Controller) -> None:
    answer = controller.desk.promote("payroll", "1", who="alice")
    assert (answer["model"], answer["phase"]) == ("payroll", "idle")
    assert controller.registry.model("payroll").aliases == {"champion": "1"}
