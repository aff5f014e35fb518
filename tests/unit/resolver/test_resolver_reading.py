"""How the registry is read: page by page, after a nudge, and what counts as gone."""

from typing import Any

import pytest

from serving.snapshot_file import read_heartbeat, request_nudge
from stagedoor.domain.snapshot import Snapshot
from stagedoor.errors import RegistryGarbled, RegistryUnavailable
from stagedoor.registry.port import Page

from .world import World


def test_a_nudge_is_followed_at_once(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.register("fraud", "two")
    world.settle()
    world.registry.set_alias("fraud", "champion", "2")
    for step, expected in ((0.01, "1"), (0.02, "1"), (0.03, "2")):
        if step == 0.02:
            request_nudge(world.paths)
        world.resolver.tick(world.now + step)
        if step != 0.02:
            assert world.live() == {expected: 10_000}


def test_an_empty_registry_is_published_too(world: World) -> None:
    assert world.settle() == Snapshot(1, {})


def fill(world: World, *names: str) -> None:
    """Models that nobody serves; three are on a page."""
    for name in names:
        world.register(name, "x")


def test_of_a_registry_of_several_pages_each_poll_reads_one_and_the_served_models(world: World) -> None:
    fill(world, *"abcdefgh")
    world.register("zebra", "one", "champion")
    world.settle(10)
    assert world.live("zebra") == {"1": 10_000}
    del world.reads[:]
    for version in ("2", "3", "4"):
        world.register("zebra", version, "champion")
        world.settle(2.5)
        assert world.live("zebra") == {version: 10_000}
    world.registry.set_alias("b", "champion", "1")
    world.settle(4.5)
    assert world.live("b") == {"1": 10_000}
    assert set(world.reads) == {"", "3", "6"}
    world.registry.delete_model("zebra")
    world.settle(1.5)
    assert "zebra" not in world.resolver.snapshot.models


def test_the_first_snapshot_waits_for_every_page(world: World) -> None:
    fill(world, *"abcdefg")
    found = set()
    for _ in range(20):
        world.now += 0.02
        world.resolver.tick(world.now)
        found.add(frozenset(world.resolver.snapshot.models))
    assert found == {frozenset(), frozenset("abcdefg")}


def test_a_model_that_slips_past_a_sweep_stays_and_one_that_is_gone_goes(world: World) -> None:
    fill(world, *"abcdefgh")
    world.settle(10)
    while world.reads[-1] != "":
        world.settle(0.5)
    world.registry.delete_model("a")  # d moves to the page that has been read
    seen = [set(world.settle(0.5).models) for _ in range(20)]
    assert all("d" in models for models in seen)
    assert seen[-1] == set("bcdefgh")


def test_a_nudge_of_a_large_registry_reads_what_is_served_and_then_every_page_soon(world: World) -> None:
    fill(world, *"abcdefg")
    world.register("zebra", "one", "champion")
    world.settle(10)
    del world.reads[:]
    request_nudge(world.paths)
    for _ in range(20):
        world.now += 0.02
        world.resolver.tick(world.now)
    assert world.reads[0] is None
    assert sorted(page for page in world.reads[1:] if page is not None) == ["", "3", "6"]


@pytest.mark.parametrize(("error", "then"), [(RegistryUnavailable("busy"), "6"), (RegistryGarbled("no such page"), "")])
def test_after_a_failure_a_page_is_read_again_unless_it_may_be_the_cause(world: World, error: Any, then: str) -> None:
    fill(world, *"abcdefgh")
    world.settle(10)
    while world.reads[-1] != "3":
        world.settle(0.5)
    world.registry.broken = error
    del world.reads[:]
    while not world.reads:
        world.settle(0.5)
    world.settle(0.5)
    world.registry.broken = None
    world.settle(2)
    assert world.reads[:2] == ["6", then]


def test_a_deleted_model_is_dropped_once_the_registry_confirms_it(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.register("other", "x", "champion")
    world.settle()
    world.registry.delete_model("fraud")
    assert set(world.settle().models) == {"other"}


def test_an_empty_list_that_the_registry_contradicts_wipes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register("fraud", "one", "champion")
    before = world.settle()
    monkeypatch.setattr(world.registry, "models", lambda only=(), page="": Page(()))
    assert world.settle() == before
    heartbeat = read_heartbeat(world.paths.heartbeat)
    assert heartbeat is not None
    assert heartbeat.error is not None
