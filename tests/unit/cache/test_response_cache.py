"""The response cache: what it keeps, for how long and for whom."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serving.values import NO_ARRAYS, Outputs
from stagedoor.domain.tuning import Caching

from .asking import MINUTE, ONE, OTHER, TWO, answer, asks, cache, filled, joined, kept, lead

# --- hits ---


def test_an_answer_is_kept_for_its_time_and_not_a_moment_longer() -> None:
    responses = cache()
    lead(responses, asks(1)).fill(answer(), 100.0)
    assert kept(responses, asks(1), 159.9)
    assert not kept(responses, asks(1), 160.0)
    assert responses.sizes() == {"fraud": 0}


def test_a_shorter_time_holds_for_what_was_kept_before() -> None:
    responses = cache()
    filled(responses, asks(1))
    assert kept(responses, asks(1), 5.0)
    assert not kept(responses, asks(1), 5.0, Caching(5.0, 1_000_000))


def test_a_clock_that_goes_back_makes_no_answer_last_longer() -> None:
    responses = cache()
    lead(responses, asks(1)).fill(answer(), 100.0)
    assert not kept(responses, asks(1), 99.0)


def test_what_is_kept_is_beyond_the_reach_of_the_model_and_of_whoever_gets_it() -> None:
    responses = cache()
    whole = np.zeros((4, 3))
    words = np.array(["a", ["b"]], object)
    value = {"classes": ["x"]}
    lead(responses, asks(1)).fill(Outputs("named", {"view": whole[1:2], "words": words}, value), 0.0)
    whole[:] = 7
    words[1].append("c")
    value["classes"].append("y")
    found = responses.find(asks(1), MINUTE, 1.0)
    assert isinstance(found, Outputs)
    assert found.arrays["view"].tolist() == [[0, 0, 0]]
    assert found.arrays["words"].tolist() == ["a", ["b"]]
    assert found.value == {"classes": ["x"]}
    assert all(array.base is None for array in found.arrays.values())
    with pytest.raises(ValueError, match="read-only"):
        found.arrays["view"][0] = 1
    whole[:] = 8  # the model's own buffer stays its own


def test_questions_of_another_version_or_model_are_other_questions() -> None:
    responses = cache()
    filled(responses, asks(1))
    assert not kept(responses, asks(1, TWO))
    assert not kept(responses, asks(1, OTHER))
    assert not kept(responses, asks(1, ONE._replace(digest="zz")))


# --- room ---


def test_the_least_recently_used_goes_first_whatever_its_version() -> None:
    responses = cache()
    filled(responses, asks(1), asks(2, TWO), asks(3))
    size = responses.sizes()["fraud"] // 3
    three = Caching(60.0, 4 * size)  # no answer may take more than a fourth
    assert kept(responses, asks(1))
    filled(responses, asks(4), asks(5), caching=three)
    assert [kept(responses, question) for question in (asks(1), asks(2, TWO), asks(3), asks(4), asks(5))] == [
        True,
        False,
        True,
        True,
        True,
    ]
    assert responses.sizes()["fraud"] == 4 * size


def test_the_budget_is_each_models_own() -> None:
    responses = cache()
    filled(responses, asks(1, OTHER))
    before = responses.sizes()["churn"]
    filled(responses, *map(asks, range(500)), caching=Caching(60.0, 64 * 1024))
    assert responses.sizes()["churn"] == before
    assert 60 * 1024 < responses.sizes()["fraud"] <= 64 * 1024


def test_an_answer_of_more_than_a_fourth_of_the_budget_is_handed_on_and_not_kept() -> None:
    responses = cache()
    filled(responses, asks(1))
    got: list[Any] = []
    leader = lead(responses, asks(2))
    joined(responses, asks(2)).join(got.append)
    leader.fill(answer(size=MINUTE.max_bytes // 4 // 8), 0.0)
    assert isinstance(got[0], Outputs)
    assert not kept(responses, asks(2))
    assert kept(responses, asks(1))


SHAPES: dict[str, Callable[[int], Outputs]] = {
    "one array": lambda _: answer(),
    "a view of a batch": lambda _: Outputs.of_array(np.zeros((64, 100))[5:6]),
    "label and probabilities": lambda _: Outputs("named", {"label": np.ones(1, np.int64), "p": np.zeros((1, 3), np.float32)}),
    "eight columns": lambda _: Outputs("table", {str(place): np.zeros(1) for place in range(8)}),
    "strings": lambda i: Outputs("named", {"label": np.array([f"category {i} {place}" for place in range(10)], object)}),
    "JSON": lambda i: Outputs("json", NO_ARRAYS, {"scores": [i + place / 7 for place in range(10)], "text": f"{i} so"}),
}


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_the_size_that_is_counted_is_the_memory_that_is_used(make: Callable[[int], Outputs]) -> None:
    responses = cache()
    lots = Caching(60.0, 2**32)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(3000):
            lead(responses, asks(number), caching=lots).fill(make(number), 0.0)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.7 * responses.sizes()["fraud"] < used < 1.1 * responses.sizes()["fraud"]


def test_nothing_is_kept_of_an_answer_that_cannot_be_copied() -> None:
    class Stubborn:
        def __deepcopy__(self, memo: object) -> object:
            raise RuntimeError

    responses = cache()
    got: list[Any] = []
    leader = lead(responses, asks(1))
    joined(responses, asks(1)).join(got.append)
    outputs = Outputs("json", NO_ARRAYS, Stubborn())
    leader.fill(outputs, 0.0)
    assert got == [outputs]
    assert not kept(responses, asks(1))


# --- who leaves ---


def test_a_version_that_is_dropped_takes_its_answers_with_it() -> None:
    responses = cache()
    filled(responses, asks(1), asks(1, TWO), asks(1, OTHER))
    responses.drop(ONE)
    assert [kept(responses, asks(1, source)) for source in (ONE, TWO, OTHER)] == [False, True, True]


def test_only_what_is_retained_stays_and_the_sizes_follow() -> None:
    responses = cache()
    filled(responses, asks(1), asks(1, TWO), asks(1, OTHER))
    size = responses.sizes()["churn"]
    responses.retain({TWO})
    assert responses.sizes() == {"fraud": size}
    responses.retain(())
    assert responses.sizes() == {}


def test_an_answer_that_comes_after_its_version_has_left_is_handed_on_and_not_kept() -> None:
    responses = cache()
    got: list[Any] = []
    leader = lead(responses, asks(1))
    joined(responses, asks(1)).join(got.append)
    responses.drop(ONE)
    again = lead(responses, asks(1))
    leader.fill(answer(), 0.0)
    assert isinstance(got[0], Outputs)
    assert responses.sizes() == {}
    again.fill(answer(), 0.0)
    assert kept(responses, asks(1))
