"""A worker follows the snapshot: real ONNX files in a real store, snapshots written by hand."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.pool import Pool
from serving.snapshot_file import read_demand, write_snapshot
from serving.store import digest_of, folder_of
from serving.values import UNNAMED, Inputs
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route
from stagedoor.errors import ModelNotFound, VersionNotReady, VersionRefused
from stagedoor.paths import StatePaths
from stagedoor.settings import MIB, Settings

Build = Callable[..., Path]
ROW = Inputs("tensors", {UNNAMED: np.array([[1.0, 0.0]])}, 1)


class House:
    """A state folder whose resolver is the test: version n of a model multiplies by n."""

    def __init__(self, root: Path, build: Build) -> None:
        self.paths = StatePaths(root)
        self.settings = Settings(state_dir=root, memory_budget_mib=100)
        self.build = build
        self.serial = 0
        self.versions: dict[str, VersionEntry] = {}
        self.pools: list[Pool] = []

    def add(self, version: str, memory_mib: int = 1) -> Path:
        folder = self.build(((float(version),), (0.0,)))
        digest = digest_of(folder)
        target = folder_of(self.paths.store, digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
        self.versions[version] = VersionEntry(version, "ready", digest, "onnx", memory_mib * MIB)
        return target

    def entry(self, *arms: str, name: str = "m", **changes: Any) -> ModelEntry:
        weights = [10_000 - 100 * (len(arms) - 1), *[100] * (len(arms) - 1)]
        made = tuple(Arm(f"alias{v}", v, w) for v, w in zip(arms, weights, strict=True))
        route = Route(self.serial + 1, made, b"salt") if arms else None
        fields: dict[str, Any] = {"route": route, "versions": dict(self.versions), "aliases": {f"alias{v}": v for v in arms}}
        return ModelEntry(name, **(fields | changes))

    def publish(self, *entries: ModelEntry, serial: int | None = None) -> None:
        self.serial = self.serial + 1 if serial is None else serial
        write_snapshot(self.paths.snapshot, Snapshot(self.serial, {entry.name: entry for entry in entries}))

    def pool(self, **arguments: Any) -> Pool:
        pool = Pool(self.settings, self.paths, **arguments)
        self.pools.append(pool)
        return pool

    def started(self) -> Pool:
        pool = self.pool()
        pool.start()
        return pool

    def reports(self) -> list[Mapping[str, Any]]:
        return [json.loads(path.read_bytes()) for path in self.paths.workers.glob("*.json")]


@pytest.fixture
def house(tmp_path: Path, build_onnx: Build) -> Iterator[House]:
    house = House(tmp_path / "state", build_onnx)
    yield house
    for pool in house.pools:
        pool.stop()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return False


def route_of(pool: Pool, name: str = "m") -> list[str]:
    live = pool.view.models.get(name)
    return [arm.version for arm in live.entry.route.arms] if live and live.entry.route else []


def answer(pool: Pool, version: str, name: str = "m") -> float:
    outputs = pool.view.models[name].loaded[version].predictor.predict(ROW)
    return float(outputs.arrays["Y"][0, 0])


def test_without_a_snapshot_nothing_is_served_and_nothing_fails(house: House) -> None:
    pool = house.started()
    time.sleep(0.1)
    assert (pool.view.serial, dict(pool.view.models)) == (0, {})


def test_a_published_version_is_served(house: House) -> None:
    house.add("1")
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    assert answer(pool, "1") == 1.0
    assert pool.view.models["m"].entry.route is not None


def test_a_move_is_followed_within_a_blink(house: House) -> None:
    house.add("1")
    house.add("2")
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: route_of(pool) == ["1"])
    start = time.monotonic()
    house.publish(house.entry("2"))
    assert until(lambda: route_of(pool) == ["2"])
    assert time.monotonic() - start < 1.0
    assert answer(pool, "2") == 2.0


def test_every_reader_sees_the_old_route_or_the_new_with_all_its_arms(house: House) -> None:
    for version in "123":
        house.add(version)
    routes = [("1",), ("2", "3"), ("3",), ("1", "2", "3")]
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    wrong: list[str] = []
    serials: list[int] = []
    stop = threading.Event()

    def read() -> None:
        last = 0
        while not stop.is_set():
            view = pool.view
            live = view.models["m"]
            assert live.entry.route is not None
            for arm in live.entry.route.arms:
                got = live.loaded[arm.version].predictor.predict(ROW).arrays["Y"][0, 0] if arm.version in live.loaded else None
                if got != float(arm.version):
                    wrong.append(f"{arm.version} answered {got}")
            if view.serial < last:
                wrong.append("the serial went back")
            last = view.serial
            serials.append(last)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(30):
        house.publish(house.entry(*routes[number % 4]))
        time.sleep(0.01)
    assert until(lambda: pool.view.serial == house.serial)
    stop.set()
    for reader in readers:
        reader.join(5)
    assert wrong == []
    assert len(set(serials)) > 3


def test_a_version_that_cannot_be_loaded_leaves_its_model_as_it_was_and_others_go_on(house: House) -> None:
    house.add("1")
    broken = house.add("2")
    house.publish(house.entry("1"), house.entry("1", name="n"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    (broken / "model.onnx").write_bytes(b"flipped")
    house.publish(house.entry("2"), house.entry("1", name="n"), house.entry("1", name="new"))
    assert until(lambda: pool.view.serial == 2)
    assert (route_of(pool), route_of(pool, "n"), route_of(pool, "new")) == (["1"], ["1"], ["1"])
    assert answer(pool, "1") == 1.0
    assert until(lambda: "2" in house.reports()[0]["models"]["m"]["errors"])
    with pytest.raises(VersionRefused, match="digest"):
        pool.load("m", "2", 1)


def test_a_repaired_version_is_taken_at_the_next_try(house: House) -> None:
    house.add("1")
    folder = house.add("2")
    good = (folder / "model.onnx").read_bytes()
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    (folder / "model.onnx").write_bytes(b"flipped")
    house.publish(house.entry("2"))
    assert until(lambda: pool.view.serial == 2)
    (folder / "model.onnx").write_bytes(good)
    assert until(lambda: route_of(pool) == ["2"])


def test_a_new_model_whose_version_does_not_load_is_known_but_has_no_route(house: House) -> None:
    folder = house.add("1")
    (folder / "MLmodel").unlink()
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    assert route_of(pool) == []
    assert pool.view.models["m"].entry.aliases == {"alias1": "1"}


def test_a_model_that_is_gone_is_dropped(house: House) -> None:
    house.add("1")
    house.publish(house.entry("1"), house.entry("1", name="n"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    house.publish(house.entry("1"))
    assert until(lambda: "n" not in pool.view.models)
    assert until(lambda: house.reports()[0]["models"].keys() == {"m"})


def test_an_older_snapshot_is_ignored(house: House) -> None:
    house.add("1")
    house.add("2")
    house.publish(house.entry("1"), serial=5)
    pool = house.started()
    assert until(lambda: pool.view.serial == 5)
    house.publish(house.entry("2"), serial=4)
    time.sleep(0.2)
    assert (pool.view.serial, route_of(pool)) == (5, ["1"])


def test_a_damaged_snapshot_changes_nothing(house: House) -> None:
    house.add("1")
    house.add("2")
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    house.paths.snapshot.write_text('{"format": 1, "serial"')
    time.sleep(0.1)
    assert (pool.view.serial, route_of(pool)) == (1, ["1"])
    house.publish(house.entry("2"))
    assert until(lambda: route_of(pool) == ["2"])


# --- versions on demand ---


def test_a_version_of_the_snapshot_is_loaded_on_demand_once(house: House) -> None:
    for version in "12":
        house.add(version)
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(pool.load("m", "2", 5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len({id(version) for version in found}) == 1
    assert found[0].predictor.predict(ROW).arrays["Y"][0, 0] == 2.0
    assert until(lambda: "2" in pool.view.models["m"].loaded)
    assert route_of(pool) == ["1"]


def test_a_version_nobody_named_is_asked_of_the_resolver(house: House) -> None:
    house.add("1")
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(pool.load("m", "2", 10)))
    waiting.start()
    assert until(lambda: [read_demand(path) for path in house.paths.demand.glob("*.json")] == [("m", "2")])
    house.publish(house.entry("1", versions={**house.versions, "2": VersionEntry("2", "pending")}))
    house.add("2")
    house.publish(house.entry("1"))
    waiting.join(10)
    assert [version.version for version in found] == ["2"]


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (VersionEntry("9", "refused", code="model_not_found", reason="no such version"), ModelNotFound),
        (VersionEntry("9", "refused", code="unsafe_artifact", reason="It is a pickle."), VersionRefused),
        (VersionEntry("9", "pending"), VersionNotReady),
        (None, VersionNotReady),
    ],
)
def test_a_version_that_does_not_come_is_answered_with_why(
    house: House, found: VersionEntry | None, error: type[Exception]
) -> None:
    house.add("1")
    versions = dict(house.versions) if found is None else {**house.versions, "9": found}
    house.publish(house.entry("1", versions=versions))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    start = time.monotonic()
    with pytest.raises(error, match="m/9"):
        pool.load("m", "9", 0.2)
    assert time.monotonic() - start < 1.0


def test_a_version_larger_than_what_is_left_is_refused_and_the_rest_stays(house: House) -> None:
    house.add("1", memory_mib=60)
    house.add("2", memory_mib=60)
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    with pytest.raises(VersionRefused, match="60 MiB"):
        pool.load("m", "2", 5)
    assert answer(pool, "1") == 1.0


def test_versions_on_demand_make_room_for_each_other(house: House) -> None:
    for version in "1234":
        house.add(version, memory_mib=30)
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    for version in "234":
        assert pool.load("m", version, 5).version == version
    assert until(lambda: set(pool.view.models["m"].loaded) == {"1", "3", "4"})


def test_versions_in_use_are_demanded_again(house: House) -> None:
    now = 1000.0
    house.add("1")
    house.add("2")
    house.publish(house.entry("1"))
    pool = house.pool(clock=lambda: now)
    pool.step()
    pool.load("m", "2", 5).predictor.predict(ROW)
    shutil.rmtree(house.paths.demand, ignore_errors=True)
    now += 301
    pool.load("m", "2", 5).predictor.at = now  # type: ignore[attr-defined]
    pool.step()
    assert [read_demand(path) for path in house.paths.demand.glob("*.json")] == [("m", "2")]


# --- what it tells ---


def test_a_worker_tells_what_it_serves_and_takes_that_back_at_the_end(house: House) -> None:
    house.add("1")
    house.add("2")
    house.publish(house.entry("1", "2"))
    pool = house.started()
    assert until(lambda: bool(house.reports()) and house.reports()[0]["serial"] == 1)
    (report,) = house.reports()
    assert report["pid"] == os.getpid()
    assert report["models"]["m"]["route"] == ["1", "2"]
    assert report["models"]["m"]["epoch"] == 1
    assert [loaded["version"] for loaded in report["models"]["m"]["loaded"]] == ["1", "2"]
    assert until(lambda: house.reports()[0]["updated_at"] > report["updated_at"])
    pool.stop()
    assert house.reports() == []


def test_the_files_of_dead_workers_are_swept(house: House) -> None:
    house.paths.workers.mkdir(parents=True)
    (house.paths.workers / "999999999.json").write_text("{}")
    (house.paths.workers / f"{os.getppid()}.json").write_text("{}")
    house.started()
    assert until(lambda: not (house.paths.workers / "999999999.json").exists())
    assert (house.paths.workers / f"{os.getppid()}.json").exists()
