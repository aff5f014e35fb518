"""What a worker keeps in memory, and what has to leave."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from serving.loading.version import Version
from serving.pool.shelf import Shelf, choose_evictions, retry_delay
from serving.pool.view import Key
from serving.values import Inputs, Outputs, TensorSpec
from stagedoor.errors import ArtifactError, LoadFailed, OverBudget

ONE, TWO, THREE, FOUR = (Key("m", number, f"d{number}") for number in "1234")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Echo:
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def predict(self, inputs: Inputs) -> Outputs:
        return Outputs("json", value=inputs.rows)


def version_of(key: Key, memory_bytes: int = 10) -> Version:
    signature: Any = None
    return Version(
        key.name, key.version, key.digest, "onnx", Echo(), signature, quick=True, warm_seconds=0.001, memory_bytes=memory_bytes
    )


def shelf_of(load: Callable[[Key], Version] = version_of, budget: int = 100, clock: Any = time.monotonic) -> Shelf:
    return Shelf(load, budget, lambda: None, clock)


def fetch(shelf: Shelf, key: Key, memory: int = 10) -> Version:
    return shelf.fetch(key, memory).result(5)


def failing(key: Key) -> Version:
    raise LoadFailed("no")


def test_a_version_is_loaded_once_for_all_who_wait() -> None:
    calls: list[Key] = []
    gate = threading.Event()

    def slow(key: Key) -> Version:
        calls.append(key)
        gate.wait(5)
        return version_of(key)

    shelf = shelf_of(slow)
    futures = [shelf.fetch(ONE, 10) for _ in range(20)]
    gate.set()
    assert len({id(future.result(5)) for future in futures}) == 1
    assert fetch(shelf, ONE) is futures[0].result(0)
    assert calls == [ONE]


def test_the_delays_double_up_to_a_minute() -> None:
    assert [retry_delay(attempts) for attempts in (1, 2, 3, 4, 5, 6, 7, 8, 1000)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_failure_is_tried_again_when_its_time_has_come_and_not_before() -> None:
    calls: list[Key] = []
    clock = Clock()

    def load(key: Key) -> Version:
        calls.append(key)
        if len(calls) < 3:
            raise LoadFailed("not yet")
        return version_of(key)

    shelf = shelf_of(load, clock=clock)
    for wait, attempts in ((0.0, 1), (0.9, 1), (0.2, 2), (1.9, 2)):
        clock.now += wait
        with pytest.raises(LoadFailed, match="not yet"):
            fetch(shelf, ONE)
        assert len(calls) == attempts
        assert not shelf.is_retry_due([ONE])
    clock.now += 0.2
    assert shelf.is_retry_due([ONE])
    assert not shelf.is_retry_due([TWO])
    assert fetch(shelf, ONE).version == "1"
    assert shelf.failures() == {}


def test_any_error_reaches_whoever_waits() -> None:
    def load(key: Key) -> Version:
        raise ZeroDivisionError

    with pytest.raises(LoadFailed, match="ZeroDivisionError"):
        fetch(shelf_of(load), ONE)


def test_the_least_recently_used_leaves_first() -> None:
    shelf = shelf_of(budget=25)
    fetch(shelf, ONE)
    fetch(shelf, TWO)
    shelf.loaded()[ONE].predictor.predict(Inputs("tensors", {}, 1))
    fetch(shelf, THREE)
    assert set(shelf.loaded()) == {ONE, THREE}


def test_what_a_route_names_never_leaves() -> None:
    shelf = shelf_of(budget=25)
    fetch(shelf, ONE)
    fetch(shelf, TWO)
    shelf.keep(frozenset({ONE, TWO}), frozenset(), {ONE, TWO, THREE})
    with pytest.raises(OverBudget, match="STAGEDOOR_MEMORY_BUDGET_MIB"):
        fetch(shelf, THREE)
    assert set(shelf.loaded()) == {ONE, TWO}


def test_what_a_route_wants_beside_its_arms_leaves_for_an_arm_alone() -> None:
    shelf = shelf_of(budget=25)
    fetch(shelf, ONE)
    fetch(shelf, TWO)
    shelf.keep(frozenset({ONE}), frozenset({TWO}), {ONE, TWO, THREE})
    with pytest.raises(OverBudget):
        fetch(shelf, THREE)
    assert set(shelf.loaded()) == {ONE, TWO}
    shelf.keep(frozenset({ONE, FOUR}), frozenset({TWO}), {ONE, TWO, THREE, FOUR})
    fetch(shelf, FOUR)
    assert set(shelf.loaded()) == {ONE, FOUR}


def test_a_version_larger_than_the_budget_moves_nobody() -> None:
    shelf = shelf_of(budget=25)
    fetch(shelf, ONE)
    with pytest.raises(OverBudget):
        fetch(shelf, TWO, 30)
    assert set(shelf.loaded()) == {ONE}


def test_a_version_that_left_still_answers_those_who_hold_it() -> None:
    shelf = shelf_of(budget=15)
    held = fetch(shelf, ONE)
    fetch(shelf, TWO)
    assert ONE not in shelf.loaded()
    assert held.predictor.predict(Inputs("tensors", {}, 3)).value == 3


def test_what_is_not_known_any_more_is_forgotten() -> None:
    shelf = shelf_of()
    fetch(shelf, ONE)
    fetch(shelf, TWO)
    shelf.keep(frozenset(), frozenset(), {TWO})
    assert set(shelf.loaded()) == {TWO}


@pytest.mark.parametrize(
    ("held", "protected", "room", "leaving"),
    [
        ({}, set(), 0, ()),
        ({}, set(), -1, None),
        ({ONE: 10, TWO: 10}, set(), 20, ()),
        ({ONE: 10, TWO: 10}, set(), 19, (ONE,)),
        ({ONE: 10, TWO: 10}, {ONE}, 19, (TWO,)),
        ({ONE: 10, TWO: 10}, {ONE}, 9, None),
        ({ONE: 10, TWO: 10}, set(), 0, (ONE, TWO)),
    ],
)
def test_only_as_much_leaves_as_must(
    held: dict[Key, int], protected: set[Key], room: int, leaving: tuple[Key, ...] | None
) -> None:
    assert choose_evictions(held, protected, {ONE: 1.0, TWO: 2.0}, room) == leaving


def test_errors_are_those_of_the_tree() -> None:
    with pytest.raises(ArtifactError, match="no"):
        fetch(shelf_of(failing), ONE)
