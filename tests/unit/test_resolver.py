"""The resolver over the registry's twin, a fake probe and a clock that the test moves. Its threads run at once."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from serving.resolver.demands import DemandFolder
from serving.resolver.index import Index
from serving.resolver.preparing import Preparer
from serving.resolver.publishing import Publisher
from serving.resolver.reading import read_registry
from serving.resolver.resolver import Resolver, Work
from serving.resolver.sweep import Sweep
from serving.resolver.wiring import only_one
from serving.snapshot_file import demand_version, read_heartbeat, read_snapshot, request_nudge
from serving.store import Store, folder_of
from stagedoor.domain.snapshot import ModelEntry, Snapshot
from stagedoor.errors import (
    ConfigurationError,
    LoadFailed,
    RegistryDenied,
    RegistryGarbled,
    RegistryUnavailable,
)
from stagedoor.paths import StatePaths
from stagedoor.registry.memory import MemoryRegistry
from stagedoor.registry.port import Page


class AtOnce(Executor):
    """Runs a job where it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  as every executor does
            future.set_exception(error)
        return future


class Later(Executor):
    """Runs its jobs when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self.jobs.append((future, partial(fn, *args, **kwargs)))
        return future

    def run(self) -> None:
        jobs, self.jobs = self.jobs, []
        for future, job in jobs:
            future.set_result(job())


@dataclass(frozen=True)
class Report:
    flavor: str = "onnx"
    memory_bytes: int = 100


class FakeProbe:
    def __init__(self) -> None:
        self.broken: set[bytes] = set()
        self.probed: list[bytes] = []
        self.raises: Exception = LoadFailed("It cannot be loaded.")

    def __call__(self, folder: Path) -> Report:
        content = (folder / "MLmodel").read_bytes()
        self.probed.append(content)
        if content in self.broken:
            raise self.raises
        return Report()


class World:
    """One machine's state folder and the registry that it follows."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = StatePaths(root / "state")
        self.registry = MemoryRegistry(page_size=3)
        self.probe = FakeProbe()
        self.now = 1_000_000.0
        self.patterns = ("*",)
        self.budget = 10**6
        self.workers: Executor = AtOnce()
        self.reads: list[str | None] = []
        self.start()

    def start(self) -> None:
        """Start a resolver, as after a restart."""
        store = Store(self.paths.store, self.budget)
        store.clean()
        index = Index(self.paths.store / "index.json")
        preparer = Preparer(self.registry, store, index, self.probe, 10_000)

        def read(known: frozenset[str], served: frozenset[str], sweep: Sweep | None, /) -> Any:
            self.reads.append(sweep and sweep.page)
            return read_registry(self.registry, self.patterns, known, served, sweep)

        work = Work(read, preparer.prepare, store.evict, AtOnce(), self.workers)
        self.resolver = Resolver(work, Publisher(self.paths), DemandFolder(self.paths.demand), 1.0)

    def register(self, name: str, content: str, *aliases: str) -> str:
        folder = self.root / "artifacts" / name / content
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "MLmodel").write_text(content)
        version = self.registry.register(name, folder)
        for alias in aliases:
            self.registry.set_alias(name, alias, version)
        return version

    def settle(self, seconds: float = 3.0) -> Snapshot:
        step = 0.5 if seconds < 100 else 5.0
        for _ in range(int(seconds / step)):
            self.now += step
            self.resolver.tick(self.now)
        snapshot = read_snapshot(self.paths.snapshot)
        assert snapshot == self.resolver.snapshot
        return snapshot

    def model(self, name: str = "fraud") -> ModelEntry:
        return self.resolver.snapshot.models[name]

    def live(self, name: str = "fraud") -> dict[str, int] | None:
        route = self.model(name).route
        return {arm.version: arm.weight for arm in route.arms} if route else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_champion_goes_live_once_it_is_fetched_and_probed(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.settle()
    assert world.live() == {"1": 10_000}
    entry = world.model().versions["1"]
    assert (entry.state, entry.flavor, entry.memory_bytes) == ("ready", "onnx", 100)
    assert (folder_of(world.paths.store, entry.digest) / "MLmodel").read_text() == "one"


def test_nothing_is_live_before_its_probe_has_ended(world: World) -> None:
    world.workers = later = Later()
    world.start()
    world.register("fraud", "one", "champion")
    world.settle()
    assert world.live() is None
    assert world.model().versions["1"].state == "pending"
    later.run()
    world.settle()
    assert world.live() == {"1": 10_000}


def test_a_moved_alias_is_live_at_the_next_poll_without_traffic_or_probe(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.register("fraud", "two", "challenger")
    world.settle()
    fetched, probed = list(world.registry.fetches), list(world.probe.probed)
    for version in ("2", "1", "2"):
        world.registry.set_alias("fraud", "champion", version)
        world.settle(1.5)
        assert world.live() == {version: 10_000}
    assert (world.registry.fetches, world.probe.probed) == (fetched, probed)


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


def test_the_epoch_is_the_serial_at_which_the_route_changed(world: World) -> None:
    world.register("fraud", "one", "champion")
    serial = world.settle().serial
    first = world.model().route
    assert first is not None
    assert first.epoch == serial
    world.register("other", "x", "champion")
    later = world.settle().serial
    assert later > serial
    assert world.model().route == first


def test_nothing_new_publishes_nothing(world: World) -> None:
    world.register("fraud", "one", "champion")
    serial = world.settle().serial
    stamp = world.paths.snapshot.stat().st_mtime_ns
    assert world.settle(20).serial == serial
    assert world.paths.snapshot.stat().st_mtime_ns == stamp


def test_a_malformed_tag_keeps_the_old_policy_and_is_a_problem(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.register("fraud", "two", "challenger")
    world.registry.set_tag("fraud", "stagedoor.traffic", "champion=90,challenger=10")
    world.settle()
    assert world.live() == {"1": 9000, "2": 1000}
    world.registry.set_tag("fraud", "stagedoor.traffic", "champion=90,challenger=20")
    world.settle()
    assert world.live() == {"1": 9000, "2": 1000}
    assert "add up" in world.model().problems[0]
    world.start()
    world.settle()
    assert world.live() == {"1": 9000, "2": 1000}
    world.registry.set_tag("fraud", "stagedoor.traffic", None)
    world.settle()
    assert world.live() == {"1": 10_000}
    assert world.model().problems == ()


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


def test_a_deleted_alias_ends_what_it_served(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.settle()
    world.registry.delete_alias("fraud", "champion")
    world.settle()
    assert (world.live(), world.model().aliases, world.model().versions) == (None, {}, {})


def test_a_deleted_version_ends_with_its_alias(world: World) -> None:
    world.register("fraud", "one")
    world.register("fraud", "two", "champion")
    world.settle()
    world.registry.delete_version("fraud", "2")
    world.settle()
    assert world.live() is None


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


def test_a_model_made_anew_under_the_same_name_is_fetched_anew(world: World) -> None:
    world.register("fraud", "one", "champion")
    before = world.settle().models["fraud"].versions["1"].digest
    world.registry.delete_model("fraud")
    world.register("fraud", "another", "champion")
    world.settle()
    assert world.model().versions["1"].digest != before
    assert world.live() == {"1": 10_000}


def test_a_model_deleted_and_made_anew_between_two_polls_or_after_one_never_serves_the_old_files(world: World) -> None:
    for seen in (True, False):
        world.register("fraud", f"old {seen}", "champion")
        world.settle(10)
        world.registry.delete_model("fraud")
        if seen:
            world.settle(10)
        world.register("fraud", f"new {seen}", "champion")
        world.settle(10)
        folder = folder_of(world.paths.store, world.model().versions["1"].digest)
        assert (folder / "MLmodel").read_text() == f"new {seen}"
        world.registry.delete_model("fraud")
        world.settle(10)


def test_only_models_of_the_configured_patterns_are_followed(world: World) -> None:
    world.patterns = ("fraud*", "credit")
    for name in ("fraud", "fraud-eu", "credit", "credit-eu"):
        world.register(name, name, "champion")
    assert set(world.settle().models) == {"fraud", "fraud-eu", "credit"}


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


def test_a_stage_serves_where_no_alias_does(world: World) -> None:
    world.register("fraud", "one")
    world.registry.set_stage("fraud", "1", "Production")
    world.settle()
    assert world.live() == {"1": 10_000}
    world.register("fraud", "two", "champion")
    world.settle()
    assert world.live() == {"2": 10_000}


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
