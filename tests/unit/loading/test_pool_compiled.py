"""A version and its compiled form in one worker: the one gives way to the other without a moment with neither."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving.loading.version import Version
from serving.pool import Pool
from serving.pool.report import describe
from serving.pool.view import Key
from serving.store import digest_of, folder_of
from serving.values import Inputs
from stagedoor.settings import MIB

from .conftest import Build, House

Until = Callable[..., bool]


@pytest.fixture
def forms(house: House, build_onnx: Build) -> tuple[str, str]:
    """Version 1, which multiplies by 1, and its compiled form, which for once gives it away: it multiplies by 5."""
    house.add("1")
    folder = build_onnx(((5.0,), (0.0,)))
    digest = digest_of(folder)
    shutil.move(folder, folder_of(house.paths.store, digest))
    return house.versions["1"].digest, digest


def ask(pool: Pool) -> float:
    version = pool.view.models["m"].loaded["1"]
    return float(version.predictor.predict(Inputs("tensors", {"X": np.array([[1, 0]], np.float32)}, 1)).arrays["Y"][0, 0])


def test_the_compiled_form_takes_over_and_gives_back_without_a_gap(house: House, forms: tuple[str, str], until: Until) -> None:
    plain = house.versions["1"]
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    answers = [ask(pool)]
    for compiled, expected in ((forms[1], 5.0), ("", 1.0)):
        house.versions["1"] = replace(plain, compiled=compiled)
        house.publish(house.entry("1"))

        def arrived(expected: float = expected) -> bool:
            answers.append(ask(pool))  # raises where nothing is loaded
            return answers[-1] == expected

        assert until(arrived)
    assert set(answers) == {1.0, 5.0}
    assert until(lambda: pool.view.serial == house.serial)
    assert until(lambda: len(pool._shelf.loaded()) == 1)  # noqa: SLF001  the other form is let go


def test_a_compiled_form_that_is_not_there_leaves_the_version_itself(
    house: House, forms: tuple[str, str], until: Until
) -> None:
    folder: Path = folder_of(house.paths.store, forms[1])
    shutil.rmtree(folder)
    house.versions["1"] = replace(house.versions["1"], compiled=forms[1])
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    assert ask(pool) == 1.0


def serving_plainly(house: House, until: Until) -> Pool:
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    return pool


def test_no_route_waits_for_a_compiled_form_that_takes_its_time(house: House, forms: tuple[str, str], until: Until) -> None:
    house.add("2")
    house.publish(house.entry("1"))
    pool = house.pool()
    begun, let_go = threading.Event(), threading.Event()
    load = pool._shelf._load  # noqa: SLF001  a graph that takes its time

    def slowly(key: Key) -> Version:
        if key.compiled:
            begun.set()
            assert let_go.wait(20)
        return load(key)

    pool._shelf._load = slowly  # noqa: SLF001
    pool.start()
    assert until(lambda: pool.view.serial == 1)
    house.versions["1"] = replace(house.versions["1"], compiled=forms[1])
    house.publish(house.entry("1", "2"))
    assert begun.wait(5)
    assert until(lambda: pool.view.serial == 2)
    assert {"1", "2"} <= pool.view.models["m"].loaded.keys()
    assert ask(pool) == 1.0
    let_go.set()
    assert until(lambda: ask(pool) == 5.0)


def test_a_damaged_compiled_form_leaves_the_version_serving_until_it_is_whole(
    house: House, forms: tuple[str, str], until: Until
) -> None:
    pool = serving_plainly(house, until)
    whole, away = folder_of(house.paths.store, forms[1]), house.paths.root / "away"
    shutil.move(whole, away)
    house.versions["1"] = replace(house.versions["1"], compiled=forms[1])
    house.publish(house.entry("1"))
    assert until(lambda: bool(pool._shelf.failures()))  # noqa: SLF001  tried, in vain
    assert ask(pool) == 1.0
    assert len(pool._shelf.loaded()) == 1  # noqa: SLF001  and not loaded twice
    assert describe(pool.view, pool._shelf.failures(), 0.0, 0.0)["models"]["m"]["errors"] == {}  # noqa: SLF001
    shutil.move(away, whole)
    assert until(lambda: ask(pool) == 5.0, 20.0)


def test_where_memory_does_not_suffice_for_both_forms_the_version_goes_on_and_routes_change(
    house: House, forms: tuple[str, str], until: Until
) -> None:
    house.versions["1"] = replace(house.versions["1"], memory_bytes=60 * MIB)
    pool = serving_plainly(house, until)
    house.versions["1"] = replace(house.versions["1"], compiled=forms[1])
    house.publish(house.entry("1"))
    assert until(lambda: bool(pool._shelf.failures()))  # noqa: SLF001  100 MiB are all there is
    house.add("2")
    house.publish(house.entry("1", "2"))
    assert until(lambda: pool.view.serial == 3)
    assert ask(pool) == 1.0
    route = pool.view.models["m"].entry.route
    assert route is not None
    assert [arm.version for arm in route.arms] == ["1", "2"]


def test_a_version_that_no_route_names_changes_its_form_too(house: House, forms: tuple[str, str], until: Until) -> None:
    house.add("2")
    house.publish(house.entry("2"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    assert pool.load("m", "1", 5.0).version == "1"
    assert until(lambda: "1" in pool.view.models["m"].loaded)
    house.versions["1"] = replace(house.versions["1"], compiled=forms[1])
    house.publish(house.entry("2"))
    assert until(lambda: ask(pool) == 5.0)
