"""Versions on their way: refused, tried again, asked for by number, and leaving."""

import pytest

from serving.snapshot_file import demand_version
from serving.store import folder_of

from .world import FakeProbe, Report, World


def test_a_version_that_fails_its_probe_is_refused_and_the_old_one_serves_on(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.settle()
    world.probe.broken.add(b"two")
    world.register("fraud", "two", "champion")
    world.settle()
    assert world.live() == {"1": 10_000}
    assert world.model().aliases == {"champion": "1"}
    refused = world.model().versions["2"]
    assert (refused.state, refused.code) == ("refused", "load_failed")
    assert "version 1 keeps serving" in world.model().problems[0]
    assert world.registry.version("fraud", "2").tags == {}


def test_a_refused_version_is_tried_again_ever_more_seldom(world: World) -> None:
    world.probe.broken.add(b"one")
    world.register("fraud", "one", "champion")
    world.settle(60)
    assert 5 <= len(world.probe.probed) <= 7
    serial = world.resolver.snapshot.serial
    world.settle(3600)
    assert 15 <= len(world.probe.probed) <= 22
    assert world.resolver.snapshot.serial == serial
    world.probe.broken.clear()
    world.settle(400)
    assert world.live() == {"1": 10_000}


def test_a_probe_that_fails_unexpectedly_refuses_the_version_and_ends_nothing(world: World) -> None:
    world.register("other", "fine", "champion")
    world.probe.broken.add(b"one")
    world.probe.raises = ZeroDivisionError()
    world.register("fraud", "one", "champion")
    world.settle()
    assert world.model().versions["1"].code == "internal_error"
    assert world.live("other") == {"1": 10_000}


def test_a_version_over_the_memory_budget_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProbe, "__call__", lambda *_: Report(memory_bytes=10_001))
    world.register("fraud", "one", "champion")
    world.settle()
    assert world.model().versions["1"].code == "over_budget"


def test_the_digest_is_recorded_and_another_one_later_is_tampering(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.settle()
    digest = world.model().versions["1"].digest
    assert world.registry.version("fraud", "1").tags == {"stagedoor.sha256": digest}
    world.register("fraud", "two", "champion")
    world.registry.tag_version("fraud", "2", "stagedoor.sha256", "0" * 64)
    world.settle()
    assert world.model().versions["2"].code == "tampered_artifact"
    assert world.live() == {"1": 10_000}
    assert b"two" not in world.probe.probed


def test_a_link_in_the_artifact_is_unsafe(world: World) -> None:
    world.register("fraud", "one", "champion")
    (world.root / "artifacts/fraud/one/leak").symlink_to("/etc/hostname")
    world.settle()
    assert world.model().versions["1"].code == "unsafe_artifact"


def test_a_demanded_version_is_made_ready_and_kept_for_an_hour(world: World) -> None:
    for content in ("one", "two", "three"):
        world.register("fraud", content)
    world.registry.set_alias("fraud", "champion", "3")
    world.settle()
    assert set(world.model().versions) == {"3"}
    demand_version(world.paths, "fraud", "1")
    world.now = (next(world.paths.demand.iterdir())).stat().st_mtime
    world.settle(20)
    assert world.model().versions["1"].state == "ready"
    world.settle(3500)
    assert "1" in world.model().versions
    world.settle(200)
    assert set(world.model().versions) == {"3"}
    assert list(world.paths.demand.iterdir()) == []


def test_a_demand_for_no_version_is_answered_soon_and_forgotten_soon(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.settle()
    demand_version(world.paths, "fraud", "9")
    world.now = (next(world.paths.demand.iterdir())).stat().st_mtime
    world.settle(6)
    absent = world.model().versions["9"]
    assert (absent.state, absent.code) == ("refused", "model_not_found")
    world.settle(30)
    assert set(world.model().versions) == {"1"}
    world.registry.broken = None
    for n in range(2, 10):
        world.register("fraud", str(n))
    demand_version(world.paths, "fraud", "9")
    world.settle(10)
    assert world.model().versions["9"].state == "ready"


def test_demands_for_unknown_models_and_broken_files_do_no_harm(world: World) -> None:
    world.register("fraud", "one", "champion")
    demand_version(world.paths, "nobody", "1")
    demand_version(world.paths, "../evil", "1")
    demand_version(world.paths, "fraud", "latest")
    (world.paths.demand / "x.json").write_bytes(b"{")
    assert set(world.settle(20).models) == {"fraud"}


def test_versions_over_the_disk_budget_go_but_never_those_in_use(world: World) -> None:
    world.budget = 1
    world.start()
    world.register("fraud", "one", "champion")
    world.settle()
    first = world.model().versions["1"].digest
    world.register("fraud", "two", "champion")
    world.settle()
    assert not folder_of(world.paths.store, first).exists()
    world.registry.set_alias("fraud", "champion", "1")
    world.settle()
    assert world.live() == {"1": 10_000}
    assert folder_of(world.paths.store, first).exists()
