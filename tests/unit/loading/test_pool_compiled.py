"""A version and its compiled form in one worker: the one gives way to the other without a moment with neither."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving.pool import Pool
from serving.store import digest_of, folder_of
from serving.values import Inputs

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
    assert len(pool._shelf.loaded()) == 1  # noqa: SLF001  the other form is let go


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
