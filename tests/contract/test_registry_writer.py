"""One suite over every implementation of the RegistryWriter port: the twin, an open MLflow, and a guarded one."""

import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from stagedoor.domain.intent import author_of
from stagedoor.errors import RegistryConflict, RegistryNotFound
from stagedoor.registry.port import ANY

from .worlds import GUARDED, World

pytestmark = pytest.mark.slow

Folder = Callable[[Mapping[str, bytes]], Path]

in_guarded_worlds = pytest.mark.parametrize("world", GUARDED, indirect=True)


@pytest.fixture
def model(world: World, name: str, folder: Folder) -> str:
    """A model with three versions."""
    source = folder({"MLmodel": b"flavors: {}\n"})
    for _ in range(3):
        world.register(name, source)
    return name


def test_an_alias_moves_and_goes(world: World, model: str) -> None:
    world.registry.move_alias(model, "champion", "1", expected=ANY)
    world.registry.move_alias(model, "champion", "2", expected="1")
    assert world.registry.model(model).aliases == {"champion": "2"}
    world.registry.move_alias(model, "champion", None, expected="2")
    world.registry.move_alias(model, "challenger", "3", expected=None)
    assert world.registry.model(model).aliases == {"challenger": "3"}


@pytest.mark.parametrize("expected", ["1", "3", None])
@pytest.mark.parametrize("to", ["1", None])
def test_a_move_from_where_the_alias_is_not_changes_nothing(
    world: World, model: str, expected: str | None, to: str | None
) -> None:
    world.set_alias(model, "champion", "2")
    with pytest.raises(RegistryConflict):
        world.registry.move_alias(model, "champion", to, expected=expected)
    assert world.registry.model(model).aliases == {"champion": "2"}


@pytest.mark.parametrize("to", ["2", None])
def test_a_move_done_twice_is_done_once(world: World, model: str, to: str | None) -> None:
    world.set_alias(model, "champion", "1")
    for _ in range(2):
        world.registry.move_alias(model, "champion", to, expected="1")
    world.registry.move_alias(model, "champion", to, expected=ANY)
    assert world.registry.model(model).aliases == ({"champion": to} if to else {})


@pytest.mark.parametrize(("model_suffix", "version"), [("", "7"), ("-absent", "1")])
@pytest.mark.parametrize("expected", [ANY, None])
def test_an_alias_of_nothing_is_not_found(world: World, model: str, model_suffix: str, version: str, expected: None) -> None:
    with pytest.raises(RegistryNotFound):
        world.registry.move_alias(model + model_suffix, "champion", version, expected=expected)


def test_tags_of_models_and_versions_are_set_replaced_and_deleted(world: World, model: str) -> None:
    long = "ü" * 5000
    for value in ("one", long, None, None):
        world.registry.tag_model(model, "stagedoor.route", value)
        world.registry.tag_version(model, "2", "stagedoor.gate.signature", value)
        assert world.registry.model(model).tags.get("stagedoor.route") == value
        assert world.registry.version(model, "2").tags.get("stagedoor.gate.signature") == value
    assert world.registry.version(model, "1").tags == {}


def test_a_tag_on_nothing_is_not_found(world: World, model: str) -> None:
    for value in ("x", None):
        with pytest.raises(RegistryNotFound):
            world.registry.tag_model(f"{model}-absent", "note", value)
        with pytest.raises(RegistryNotFound):
            world.registry.tag_version(model, "7", "note", value)


def test_a_version_moves_to_a_stage_and_others_stay(world: World, model: str) -> None:
    world.registry.move_stage(model, "1", "Production")
    world.registry.move_stage(model, "2", "Production")
    world.registry.move_stage(model, "2", "Archived")
    assert world.registry.model(model).stages == {"Production": "1", "Archived": "2", "None": "3"}
    with pytest.raises(RegistryNotFound):
        world.registry.move_stage(model, "7", "Production")


def test_a_run_tells_the_last_value_of_each_metric(world: World) -> None:
    metrics = {"auc": 0.93, "val/loss mean": 1e-9, "diverged": math.inf, "undefined": math.nan}
    found = world.registry.run_metrics(world.run_with(metrics))
    assert found.keys() == metrics.keys()
    assert {key: found[key] for key in ("auc", "val/loss mean")} == {"auc": 0.93, "val/loss mean": 1e-9}
    assert found["diverged"] > 1e300  # SQL stores have no infinity
    assert math.isnan(found["undefined"])
    assert world.registry.run_metrics(world.run_with({})) == {}
    with pytest.raises(RegistryNotFound):
        world.registry.run_metrics("0" * 32)


@in_guarded_worlds
def test_of_many_moves_at_once_from_one_place_the_guard_lets_one_through(world: World, model: str) -> None:
    world.set_alias(model, "champion", "1")
    for attempt in range(5):
        start, before = threading.Barrier(4), world.registry.model(model).aliases["champion"]
        others = [version for version in "123" if version != before] * 2
        lost: list[str] = []

        def move(to: str, start: threading.Barrier = start, before: str = before, lost: list[str] = lost) -> None:
            start.wait(20)
            try:
                world.registry.move_alias(model, "champion", to, expected=before, who=f"mover-{to}")
            except RegistryConflict:
                lost.append(to)

        movers = [threading.Thread(target=move, args=(to,)) for to in others]
        for mover in movers:
            mover.start()
        for mover in movers:
            mover.join(60)
        now = world.registry.model(model)
        winner = now.aliases["champion"]
        assert winner != before, attempt
        # Who asked for the winner's version too was not in its way; the two others heard that they came too late.
        assert len([to for to in lost if to != winner]) == 2
        author = author_of(now, "champion")
        assert author is not None
        assert author.subject == f"mover-{winner}"


@in_guarded_worlds
def test_the_guard_writes_down_who_asked(world: World, model: str) -> None:
    world.registry.move_alias(model, "champion", "1", expected=None, who="zo\u00eb & co")
    world.registry.move_stage(model, "2", "Production", who="bob")
    found = world.registry.model(model)
    authors = {name: author_of(found, name) for name in ("champion", "Production")}
    assert {name: author and (author.subject, author.version) for name, author in authors.items()} == {
        "champion": ("zo\u00eb & co", "1"),
        "Production": ("bob", "2"),
    }
    world.registry.move_alias(model, "champion", None, expected="1", who="carol")
    gone = author_of(world.registry.model(model), "champion")
    assert gone is not None
    assert (gone.subject, gone.version) == ("carol", None)
