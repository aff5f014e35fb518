"""Versions that no route names: loaded when somebody asks, and asked of the resolver where they are not here."""

import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serving.snapshot_file import read_demand
from serving.values import UNNAMED, Inputs
from stagedoor.domain.snapshot import VersionEntry
from stagedoor.errors import ModelNotFound, VersionNotReady, VersionRefused

Until = Callable[..., bool]
ROW = Inputs("tensors", {UNNAMED: np.array([[1.0, 0.0]])}, 1)


def test_a_version_of_the_snapshot_is_loaded_on_demand_once(house: Any, until: Until) -> None:
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
    assert [arm.version for arm in pool.view.models["m"].entry.route.arms] == ["1"]


def test_a_version_nobody_named_is_asked_of_the_resolver(house: Any, until: Until) -> None:
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
    house: Any, until: Until, found: VersionEntry | None, error: type[Exception]
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


def test_a_version_larger_than_what_is_left_is_refused_and_the_rest_stays(house: Any, until: Until) -> None:
    house.add("1", memory_mib=60)
    house.add("2", memory_mib=60)
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    with pytest.raises(VersionRefused, match="60 MiB"):
        pool.load("m", "2", 5)
    assert pool.view.models["m"].loaded["1"].predictor.predict(ROW).arrays["Y"][0, 0] == 1.0


def test_versions_on_demand_make_room_for_each_other(house: Any, until: Until) -> None:
    for version in "1234":
        house.add(version, memory_mib=30)
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    for version in "234":
        assert pool.load("m", version, 5).version == version
    assert until(lambda: set(pool.view.models["m"].loaded) == {"1", "3", "4"})


def test_versions_in_use_are_demanded_again(house: Any) -> None:
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
