"""A worker under the routes of a controller: what is beside the arms stays in memory, and epochs only rise."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serving.pool import Pool
from serving.store import folder_of
from serving.values import UNNAMED, Inputs
from stagedoor.domain.traffic import Arm, Route
from stagedoor.errors import VersionRefused

Until = Callable[..., bool]
ROW = Inputs("tensors", {UNNAMED: np.array([[1.0, 0.0]])}, 1)


def issued(house: Any, epoch: int, *versions: str, **members: Any) -> Any:
    entry = house.entry(*versions)
    return replace(entry, route=Route(epoch, entry.route.arms, b"salt", issued=True, **members))


def epoch_of(pool: Pool) -> int | None:
    live = pool.view.models.get("m")
    return live.entry.route.epoch if live and live.entry.route else None


def arms_of(pool: Pool) -> tuple[Arm, ...]:
    route = pool.view.models["m"].entry.route
    assert route is not None
    return route.arms


def test_going_back_to_a_warm_version_takes_no_load(house: Any, until: Until) -> None:
    house.add("1")
    house.add("2")
    house.publish(issued(house, 1, "1"))
    pool = house.started()
    assert until(lambda: epoch_of(pool) == 1)
    house.publish(issued(house, 2, "2", warm=("1",)))
    assert until(lambda: epoch_of(pool) == 2)
    shutil.rmtree(folder_of(house.paths.store, house.versions["1"].digest))  # it could not be loaded any more
    house.publish(issued(house, 3, "1", warm=("2",)))
    started = time.monotonic()
    assert until(lambda: epoch_of(pool) == 3)
    assert time.monotonic() - started < 0.5
    outputs = pool.view.models["m"].loaded["1"].predictor.predict(ROW)
    assert float(outputs.arrays["Y"][0, 0]) == 1.0


def test_what_a_route_names_beside_its_arms_is_loaded_after_it_came_into_force(house: Any, until: Until) -> None:
    for version in "1234":
        house.add(version)
    house.publish(issued(house, 1, "1", warm=("2",), mirror="3", aliases=(("challenger", "4"),)))
    pool = house.started()
    assert until(lambda: set(pool.view.models["m"].loaded) == set("1234") if "m" in pool.view.models else False)


def test_a_version_beside_the_arms_that_does_not_load_holds_nothing_up(house: Any, until: Until) -> None:
    house.add("1")
    (house.add("2") / "MLmodel").unlink()
    house.publish(issued(house, 1, "1", mirror="2"))
    pool = house.started()
    assert until(lambda: epoch_of(pool) == 1)
    assert pool.view.serial == 1


def test_warm_versions_outlast_versions_asked_for_by_number_but_leave_for_an_arm(house: Any, until: Until) -> None:
    for version in "1234":
        house.add(version, memory_mib=40)
    house.publish(issued(house, 1, "1", warm=("2",)))
    pool = house.started()
    assert until(lambda: epoch_of(pool) == 1 and set(pool.view.models["m"].loaded) == {"1", "2"})
    with pytest.raises(VersionRefused, match="STAGEDOOR_MEMORY_BUDGET_MIB"):
        pool.load("m", "4", 5)
    assert set(pool.view.models["m"].loaded) == {"1", "2"}
    house.publish(issued(house, 2, "3", warm=("1",)))
    assert until(lambda: epoch_of(pool) == 2)
    assert until(lambda: set(pool.view.models["m"].loaded) == {"1", "3"})


def test_a_new_worker_whose_candidate_does_not_load_serves_the_stable_arm_alone_and_counts_nothing(
    house: Any, until: Until
) -> None:
    house.add("1")
    (house.add("2") / "MLmodel").unlink()
    house.publish(issued(house, 5, "1", "2", watched=True, shield=True))
    pool = house.started()
    assert until(lambda: epoch_of(pool) == 5)
    route = pool.view.models["m"].entry.route
    assert route is not None
    assert arms_of(pool) == (Arm("alias1", "1", 10_000),)
    assert not route.watched


def test_a_worker_that_had_a_route_keeps_it_when_the_next_candidate_does_not_load(house: Any, until: Until) -> None:
    house.add("1")
    (house.add("2") / "MLmodel").unlink()
    house.publish(issued(house, 5, "1"))
    pool = house.started()
    assert until(lambda: epoch_of(pool) == 5)
    house.publish(issued(house, 6, "1", "2", watched=True))
    assert until(lambda: pool.view.serial == 2)
    assert epoch_of(pool) == 5
    assert until(lambda: house.reports()[0]["routes"] == {"m": 5})


def test_an_issued_epoch_never_goes_back_but_for_a_model_made_anew(house: Any, until: Until) -> None:
    house.add("1")
    house.add("2")
    house.publish(issued(house, 5, "1"))
    pool = house.started()
    assert until(lambda: epoch_of(pool) == 5)
    house.publish(issued(house, 4, "2"))
    assert until(lambda: pool.view.serial == 2)
    assert (epoch_of(pool), arms_of(pool)[0].version) == (5, "1")
    house.publish(replace(issued(house, 1, "2"), created_at=7))
    assert until(lambda: epoch_of(pool) == 1)
    assert arms_of(pool)[0].version == "2"


def test_a_controllers_first_epoch_follows_one_that_was_derived_here(house: Any, until: Until) -> None:
    house.add("1")
    house.add("2")
    house.publish(replace(issued(house, 900, "1"), route=Route(900, (Arm("champion", "1", 10_000),), b"salt")))
    pool = house.started()
    assert until(lambda: epoch_of(pool) == 900)
    house.publish(issued(house, 1, "2"))
    assert until(lambda: epoch_of(pool) == 1)
