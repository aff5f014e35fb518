"""A worker follows the snapshot: real ONNX files in a real store, snapshots written by hand."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serving.pool import Pool
from serving.values import UNNAMED, Inputs
from stagedoor.errors import VersionRefused

Until = Callable[..., bool]
ROW = Inputs("tensors", {UNNAMED: np.array([[1.0, 0.0]])}, 1)


def route_of(pool: Pool, name: str = "m") -> list[str]:
    live = pool.view.models.get(name)
    return [arm.version for arm in live.entry.route.arms] if live and live.entry.route else []


def answer(pool: Pool, version: str, name: str = "m") -> float:
    outputs = pool.view.models[name].loaded[version].predictor.predict(ROW)
    return float(outputs.arrays["Y"][0, 0])


def test_without_a_snapshot_nothing_is_served_and_nothing_fails(house: Any) -> None:
    pool = house.started()
    time.sleep(0.1)
    assert (pool.view.serial, dict(pool.view.models)) == (0, {})


def test_a_published_version_is_served(house: Any, until: Until) -> None:
    house.add("1")
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    assert answer(pool, "1") == 1.0
    assert pool.view.models["m"].entry.route is not None


def test_a_move_is_followed_within_a_blink(house: Any, until: Until) -> None:
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


def test_every_reader_sees_the_old_route_or_the_new_with_all_its_arms(house: Any, until: Until) -> None:
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


def test_a_version_that_cannot_be_loaded_leaves_its_model_as_it_was_and_others_go_on(house: Any, until: Until) -> None:
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


def test_a_repaired_version_is_taken_at_the_next_try(house: Any, until: Until) -> None:
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


def test_a_new_model_whose_version_does_not_load_is_known_but_has_no_route(house: Any, until: Until) -> None:
    folder = house.add("1")
    (folder / "MLmodel").unlink()
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    assert route_of(pool) == []
    assert pool.view.models["m"].entry.aliases == {"alias1": "1"}


def test_a_model_that_is_gone_is_dropped(house: Any, until: Until) -> None:
    house.add("1")
    house.publish(house.entry("1"), house.entry("1", name="n"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    house.publish(house.entry("1"))
    assert until(lambda: "n" not in pool.view.models)
    assert until(lambda: house.reports()[0]["models"].keys() == {"m"})


def test_an_older_snapshot_is_ignored(house: Any, until: Until) -> None:
    house.add("1")
    house.add("2")
    house.publish(house.entry("1"), serial=5)
    pool = house.started()
    assert until(lambda: pool.view.serial == 5)
    house.publish(house.entry("2"), serial=4)
    time.sleep(0.2)
    assert (pool.view.serial, route_of(pool)) == (5, ["1"])


def test_a_damaged_snapshot_changes_nothing(house: Any, until: Until) -> None:
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


# --- what it tells ---


def test_a_worker_tells_what_it_serves_and_takes_that_back_at_the_end(house: Any, until: Until) -> None:
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


def test_the_files_of_dead_workers_are_swept(house: Any, until: Until) -> None:
    house.paths.workers.mkdir(parents=True)
    (house.paths.workers / "999999999.json").write_text("{}")
    (house.paths.workers / f"{os.getppid()}.json").write_text("{}")
    house.started()
    assert until(lambda: not (house.paths.workers / "999999999.json").exists())
    assert (house.paths.workers / f"{os.getppid()}.json").exists()
