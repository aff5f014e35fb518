"""A dead registry, a restart, damaged files, a full disk, a second resolver."""

from pathlib import Path
from typing import Any

import pytest

from serving.resolver.wiring import only_one
from serving.snapshot_file import read_heartbeat
from serving.store import folder_of
from stagedoor.errors import ConfigurationError, RegistryDenied, RegistryGarbled, RegistryUnavailable
from stagedoor.paths import StatePaths

from .world import Later, World


@pytest.mark.parametrize("error", [RegistryUnavailable("gone"), RegistryGarbled("nonsense"), RegistryDenied("no")])
def test_a_dead_registry_changes_nothing_and_shows_in_the_heartbeat(world: World, error: Any) -> None:
    world.register("fraud", "one", "champion")
    before = world.settle()
    succeeded = world.now
    world.registry.broken = error
    assert world.settle(90) == before
    beat = read_heartbeat(world.paths.heartbeat)
    assert beat is not None
    assert beat.error == str(error)
    assert beat.succeeded_at is not None
    assert succeeded - 1 <= beat.succeeded_at <= succeeded
    world.registry.broken = None
    world.register("fraud", "two", "champion")
    world.settle()
    assert world.live() == {"2": 10_000}
    beat = read_heartbeat(world.paths.heartbeat)
    assert beat is not None
    assert beat.error is None


def test_a_registry_that_dies_during_a_fetch_holds_the_version_up_without_blame(world: World) -> None:
    world.workers = later = Later()
    world.start()
    world.register("fraud", "one", "champion")
    world.settle(1)
    world.registry.broken = RegistryUnavailable("gone")
    later.run()
    world.settle(1)
    entry = world.model().versions["1"]
    assert (entry.state, entry.code) == ("pending", "registry_unavailable")
    assert "held up (registry_unavailable)" in world.model().problems[0]
    world.registry.broken = None
    world.settle(2)
    later.run()
    world.settle(1)
    assert world.live() == {"1": 10_000}


def test_a_cold_start_with_a_dead_registry_serves_the_last_snapshot(world: World) -> None:
    world.register("fraud", "one", "champion")
    before = world.settle()
    world.registry.broken = RegistryUnavailable("gone")
    world.start()
    assert world.settle(10) == before


def test_a_restart_fetches_and_probes_nothing(world: World) -> None:
    world.register("fraud", "one", "champion")
    before = world.settle()
    fetched, probed = list(world.registry.fetches), list(world.probe.probed)
    world.start()
    assert world.settle(10) == before
    assert (world.registry.fetches, world.probe.probed) == (fetched, probed)


def test_damaged_files_are_found_at_the_start_and_fetched_again(world: World) -> None:
    world.register("fraud", "one", "champion")
    before = world.settle()
    file = folder_of(world.paths.store, world.model().versions["1"].digest) / "MLmodel"
    file.chmod(0o644)
    file.write_text("bad")
    world.start()
    world.settle(10)
    assert file.read_text() == "one"
    assert world.live() == {"1": 10_000}
    assert world.resolver.snapshot.models["fraud"].versions == before.models["fraud"].versions


def test_damaged_files_without_a_registry_are_not_served(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.settle()
    file = folder_of(world.paths.store, world.model().versions["1"].digest) / "MLmodel"
    file.chmod(0o644)
    file.write_text("bad")
    world.registry.broken = RegistryUnavailable("gone")
    world.start()
    world.settle(10)
    assert world.live() is None
    world.registry.broken = None
    world.settle(30)
    assert world.live() == {"1": 10_000}


@pytest.mark.parametrize("damage", ["removed", "garbled"])
def test_a_lost_snapshot_never_takes_serials_back(world: World, damage: str) -> None:
    world.register("fraud", "one", "champion")
    serial = world.settle().serial
    if damage == "removed":
        world.paths.snapshot.unlink()
    else:
        world.paths.snapshot.write_bytes(b"{")
    world.start()
    assert world.settle().serial > serial
    assert world.live() == {"1": 10_000}


def test_a_snapshot_that_cannot_be_written_is_written_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register("fraud", "one", "champion")
    before = world.settle()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world.register("fraud", "two", "champion")
    with monkeypatch.context() as patch:
        patch.setattr("serving.resolver.publishing.write_snapshot", full)
        assert world.settle() == before
    world.settle()
    assert world.live() == {"2": 10_000}


def test_a_second_resolver_on_one_state_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.resolver.wiring.LOCK_WAIT", 0.1)
    paths = StatePaths(tmp_path)
    with only_one(paths), pytest.raises(ConfigurationError, match="Another resolver"), only_one(paths):
        pass
    with only_one(paths):
        pass
