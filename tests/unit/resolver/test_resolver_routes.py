"""A resolver under a controller: the tag arrives, versions are fetched, MLflow dies, the process restarts."""

import json

import pytest

from serving.snapshot_file import read_snapshot
from serving.store import folder_of
from stagedoor.domain.follow import Follower
from stagedoor.domain.route_tag import write_route
from stagedoor.domain.traffic import Arm, Rolling, Route
from stagedoor.errors import RegistryUnavailable

from .world import Later, World


@pytest.fixture
def led(world: World) -> World:
    """A machine that follows routes, with versions 1 to 4; people point champion at version 2."""
    world.how = Follower("route", "north-1")
    world.start()
    for content in ("one", "two", "three", "four"):
        world.register("fraud", content)
    world.registry.set_alias("fraud", "champion", "2")
    return world


def issue(world: World, epoch: int, stable: str, candidate: str = "", share: int = 1000, **members: object) -> Route:
    rest = share if candidate else 0
    arms = (Arm("champion", stable, 10_000 - rest), *([Arm("candidate", candidate, rest)] if candidate else []))
    members = {"aliases": (("champion", stable),), "watched": bool(candidate)} | members
    route = Route(epoch, arms, b"salt", issued=True, **members)  # type: ignore[arg-type]
    world.registry.set_tag("fraud", "stagedoor.route", write_route(route))
    return route


def test_nothing_is_live_before_the_controllers_first_route_though_all_is_fetched(led: World) -> None:
    led.settle()
    assert led.live() is None
    assert led.model().versions["2"].state == "ready"
    route = issue(led, 1, "1", warm=("3",))
    led.settle()
    assert led.model().route == route
    assert {version for version, found in led.model().versions.items() if found.state == "ready"} == {"1", "2", "3", "4"}


def test_a_candidate_still_on_its_way_leaves_the_route_before_in_force(led: World) -> None:
    first = issue(led, 1, "1")
    led.settle()
    led.workers = later = Later()
    led.start()
    led.settle(1)
    later.run()
    second = issue(led, 2, "1", "3")
    led.settle()
    assert led.model().route == first
    assert "epoch 1 stays" in led.model().problems[0]
    later.run()
    led.settle()
    assert led.model().route == second
    assert led.model().problems == ()


@pytest.mark.parametrize("alive", [True, False])
def test_a_restart_keeps_the_route_its_epoch_and_its_aliases(led: World, alive: bool) -> None:  # noqa: FBT001
    issue(led, 7, "1", "2", warm=("3",), shield=True, slow_seconds=0.5)
    before = led.settle()
    led.registry.broken = None if alive else RegistryUnavailable("gone")
    led.start()
    assert led.settle(10) == before
    assert led.model().aliases == {"champion": "1"}


def test_a_restart_with_a_dead_registry_keeps_a_route_that_waits(led: World) -> None:
    issue(led, 1, "1")
    led.settle()
    led.probe.broken.add(b"three")
    issue(led, 2, "1", "3")
    led.settle()
    led.registry.broken = RegistryUnavailable("gone")
    led.start()
    led.settle(10)
    assert (led.live(), led.model().problems[0][:8]) == ({"1": 10_000}, "Epoch 2:")
    led.registry.broken = None
    led.probe.broken.clear()
    led.settle(60)
    assert led.live() == {"1": 9000, "3": 1000}


def test_an_older_route_that_comes_late_changes_nothing_even_after_a_restart(led: World) -> None:
    issue(led, 7, "1", "2")
    led.settle()
    issue(led, 6, "3")
    led.start()
    led.settle()
    assert led.live() == {"1": 9000, "2": 1000}
    assert "no epoch goes back" in led.model().problems[0]


@pytest.mark.parametrize("seen", ["while running", "after a restart"])
def test_a_model_made_anew_serves_nothing_by_the_route_of_the_one_before(led: World, seen: str) -> None:
    issue(led, 7, "1")
    led.settle()
    led.registry.delete_model("fraud")
    led.register("fraud", "another one", "champion")
    if seen == "after a restart":
        led.start()
    led.settle(10)
    assert led.live() is None
    assert led.model().versions["1"].state == "ready"
    issue(led, 1, "1")
    led.settle()
    assert led.live() == {"1": 10_000}
    assert (folder_of(led.paths.store, led.model().versions["1"].digest) / "MLmodel").read_text() == "another one"


def test_a_machine_of_a_rolling_takes_the_new_version_once_it_is_listed(led: World) -> None:
    issue(led, 1, "1", rolling=Rolling("2", ("north-0",)))
    led.settle()
    assert led.live() == {"1": 10_000}
    assert led.model().versions["2"].state == "ready"
    issue(led, 2, "1", rolling=Rolling("2", ("north-0", "north-1")))
    led.settle()
    assert led.live() == {"2": 10_000}


def test_a_registry_that_loses_the_tag_changes_nothing(led: World) -> None:
    route = issue(led, 3, "1")
    led.settle()
    led.registry.set_tag("fraud", "stagedoor.route", None)
    led.settle()
    assert led.model().route == route
    led.registry.delete_alias("fraud", "champion")
    led.settle()
    assert led.live() is None


def test_a_snapshot_of_the_first_release_is_read_and_goes_on(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.settle()
    before = world.model().route
    document = json.loads(world.paths.snapshot.read_bytes())
    entry = document["models"]["fraud"]
    kept = ("epoch", "arms", "salt", "reason")
    entry["route"] = {key: entry["route"][key] for key in kept} | {"sticky": None}
    del entry["created_at"]
    world.paths.snapshot.write_text(json.dumps(document))
    assert read_snapshot(world.paths.snapshot).models["fraud"].route == before
    world.start()
    world.settle()
    assert world.model().route == before
