"""Commands to what is under way, and to what was: finish, pause, resume, abort, roll back."""

import time

import pytest

from stagedoor.errors import Conflict, MalformedName, ModelNotFound, StagedoorError

from .conftest import Controller, champion, tags


def test_finishing_names_the_version_on_its_way(controller: Controller) -> None:
    with pytest.raises(Conflict, match="No rollout"):
        controller.desk.finish("fraud", who="alice")
    controller.show(phase="canary", candidate="2")
    controller.desk.finish("fraud", who="alice")
    assert tags(controller)["stagedoor.control"] == "promote 2"


def test_resuming_takes_back_a_pause_and_nothing_else(controller: Controller) -> None:
    controller.desk.pause("fraud", who="alice")
    assert tags(controller)["stagedoor.control"] == "pause"
    for _ in range(2):
        controller.desk.resume("fraud", who="alice")
        assert "stagedoor.control" not in tags(controller)
    controller.registry.set_tag("fraud", "stagedoor.control", "promote 2")
    controller.desk.resume("fraud", who="alice")
    assert tags(controller)["stagedoor.control"] == "promote 2"


@pytest.mark.parametrize("command", ["abort", "rollback"])
def test_a_rollout_is_ended_by_moving_the_alias_back(controller: Controller, command: str) -> None:
    controller.registry.set_alias("fraud", "champion", "2")
    controller.show(phase="canary", candidate="2")
    getattr(controller.desk, command)("fraud", who="bob")
    assert champion(controller) == "1"
    assert tags(controller)["stagedoor.by.champion"].startswith("bob\t1\t")


def test_aborting_the_very_first_version_leaves_no_champion(controller: Controller) -> None:
    controller.show(stable=None, phase="gating", candidate="1")
    controller.desk.abort("fraud", who="bob")
    assert champion(controller) is None


def test_aborting_nothing_does_nothing(controller: Controller) -> None:
    controller.desk.abort("fraud", who="bob")
    assert (champion(controller), tags(controller)) == ("1", {})


def test_a_model_by_stage_goes_back_by_stage(controller: Controller) -> None:
    controller.registry.delete_alias("fraud", "champion")
    controller.registry.set_stage("fraud", "2", "Production")
    controller.show(stable="1", phase="canary", candidate="2")
    controller.desk.abort("fraud", who="bob")
    model = controller.registry.model("fraud")
    assert model.stages["Production"] == "1"
    assert model.aliases == {}
    assert model.tags["stagedoor.by.Production"].startswith("bob\t1\t")


def test_rolling_back_returns_to_the_version_that_was_live_before(controller: Controller) -> None:
    controller.registry.set_alias("fraud", "champion", "3")
    controller.show(stable="3")
    for at, version in enumerate(("1", "2", "3", "3")):
        controller.decide(version, float(at))
    controller.desk.rollback("fraud", who="bob")
    assert champion(controller) == "2"


@pytest.mark.parametrize("outcome", ["rolled_back", "aborted", "returned"])
def test_rolling_back_what_was_taken_back_a_moment_ago_goes_no_further(controller: Controller, outcome: str) -> None:
    controller.decide("2", 1.0)
    controller.decide("1", 2.0)
    last = {"outcome": outcome, "version": "3", "reason": "", "at": time.time() - 30, "epoch": 3}
    controller.show(last=last)
    with pytest.raises(Conflict, match="--to"):
        controller.desk.rollback("fraud", who="bob")
    assert champion(controller) == "1"
    controller.show(last=last | {"at": time.time() - 90})
    controller.desk.rollback("fraud", who="bob")
    assert champion(controller) == "2"


def test_rolling_back_without_a_past_says_how_to_name_one(controller: Controller) -> None:
    controller.decide("1", 1.0)
    with pytest.raises(Conflict, match="--to"):
        controller.desk.rollback("fraud", who="bob")


@pytest.mark.parametrize(("to", "version"), [("2", "2"), ("1.1.0", "2"), ("v1.1.0", "2"), ("1.2.0+build.5", "3")])
def test_rolling_back_understands_numbers_and_semantic_versions(controller: Controller, to: str, version: str) -> None:
    controller.desk.rollback("fraud", who="bob", to=to)
    assert champion(controller) == version


def test_of_two_versions_with_one_semantic_version_the_one_that_was_live_counts(controller: Controller) -> None:
    controller.registry.tag_version("fraud", "3", "semver", "1.1.0")
    controller.decide("2", 1.0)
    controller.desk.rollback("fraud", who="bob", to="1.1.0")
    assert champion(controller) == "2"


@pytest.mark.parametrize(
    ("to", "error"), [("4", ModelNotFound), ("9.9.9", ModelNotFound), ("later", MalformedName), ("0", MalformedName)]
)
def test_rolling_back_to_what_is_not_there_is_refused(controller: Controller, to: str, error: type[StagedoorError]) -> None:
    with pytest.raises(error):
        controller.desk.rollback("fraud", who="bob", to=to)
    assert champion(controller) == "1"
