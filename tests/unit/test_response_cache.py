"""The response cache: what it keeps, for how long, for whom, and who computes."""

import gc
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serving.cache import Abandoned, Flight, Lead, Question, ResponseCache, Source
from serving.values import NO_ARRAYS, Outputs
from stagedoor.domain.tuning import Caching
from stagedoor.errors import ModelFailed

ONE, TWO, OTHER = Source("fraud", "1", "aa"), Source("fraud", "2", "bb"), Source("churn", "1", "cc")
MINUTE = Caching(60.0, 1_000_000)


def asks(number: int, source: Source = ONE) -> Question:
    return Question(source, number.to_bytes(32))


def answer(value: float = 1.0, size: int = 3) -> Outputs:
    return Outputs.of_array(np.full(size, value))


def cache() -> ResponseCache:
    return ResponseCache(30.0)


def lead(of: ResponseCache, question: Question, now: float = 0.0, caching: Caching = MINUTE) -> Lead:
    found = of.find(question, caching, now)
    assert isinstance(found, Lead)
    return found


def filled(of: ResponseCache, *questions: Question, caching: Caching = MINUTE, size: int = 3) -> None:
    for question in questions:
        lead(of, question, caching=caching).fill(answer(size=size), 0.0)


def kept(of: ResponseCache, question: Question, now: float = 1.0, caching: Caching = MINUTE) -> bool:
    found = of.find(question, caching, now)
    if isinstance(found, Lead):
        found.abandon()
    return isinstance(found, Outputs)


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


# --- single flight ---


def joined(of: ResponseCache, question: Question, now: float = 0.0) -> Flight:
    found = of.find(question, MINUTE, now)
    assert isinstance(found, Flight)
    return found


def test_one_computes_and_all_who_joined_get_its_answer_once() -> None:
    responses = cache()
    leader = lead(responses, asks(1))
    got: list[Any] = []
    flights = [joined(responses, asks(1)) for _ in range(3)]
    flights[0].join(got.append)
    flights[1].join(got.append)
    assert got == []
    leader.fill(answer(5.0), 0.0)
    assert [outputs.arrays[""].tolist() for outputs in got] == [[5, 5, 5]] * 2
    flights[2].join(got.append)  # it looked before the answer came, and asks after it
    assert len(got) == 3
    assert kept(responses, asks(1))


@pytest.mark.parametrize("end", ["fail", "abandon"])
def test_a_failure_is_told_to_those_who_joined_and_never_kept(end: str) -> None:
    responses = cache()
    leader = lead(responses, asks(1))
    got: list[Any] = []
    flight = joined(responses, asks(1))
    flight.join(got.append)
    error = ModelFailed()
    if end == "fail":
        leader.fail(error)
        assert got == [error]
    else:
        leader.abandon()
        assert [type(outcome) for outcome in got] == [Abandoned]
    flight.join(got.append)
    assert got[0] is got[1]
    assert isinstance(responses.find(asks(1), MINUTE, 0.0), Lead)


def test_a_second_word_of_the_same_leader_reaches_nobody() -> None:
    responses = cache()
    leader = lead(responses, asks(1))
    got: list[Any] = []
    joined(responses, asks(1)).join(got.append)
    leader.abandon()
    leader.fail(ModelFailed())
    assert [type(outcome) for outcome in got] == [Abandoned]


def test_a_leader_that_says_nothing_is_passed_over_when_patience_ends() -> None:
    responses = cache()
    silent = lead(responses, asks(1))
    got: list[str] = []
    joined(responses, asks(1), 29.9).join(lambda _: got.append("first"))
    second = lead(responses, asks(1), 30.0)
    joined(responses, asks(1), 30.0).join(lambda _: got.append("second"))
    silent.abandon()
    assert got == ["first"]
    assert isinstance(responses.find(asks(1), MINUTE, 31.0), Flight)
    second.fill(answer(), 31.0)
    assert got == ["first", "second"]


class Crowd:
    """Threads that ask few questions many times. Of version 1 nothing is ever forgotten; version 2 leaves all the time."""

    def __init__(self) -> None:
        self.responses = cache()
        self.computed: list[Question] = []
        self.wrong: list[object] = []
        self.start = threading.Barrier(8)

    def work(self, thread: int) -> None:
        self.start.wait(10)
        for turn in range(300):
            number = (turn * 7 + thread) % 5
            self.ask(asks(number, TWO if turn % 3 == 0 else ONE), number)
            if turn % 20 == 0:
                self.responses.drop(TWO)

    def ask(self, question: Question, number: int) -> None:
        found = self.responses.find(question, MINUTE, 0.0)
        if isinstance(found, Lead):
            self.computed.append(question)
            found.fill(answer(number), 0.0)
        elif isinstance(found, Flight):
            found.join(lambda outcome: self.check(number, outcome))
        else:
            self.check(number, found)

    def check(self, number: int, outcome: Outputs | Exception) -> None:
        if not isinstance(outcome, Outputs) or outcome.arrays[""][0] != number:
            self.wrong.append(outcome)


def test_of_many_threads_one_computes_and_each_gets_the_answer_to_its_question() -> None:
    crowd = Crowd()
    threads = [threading.Thread(target=crowd.work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert crowd.wrong == []
    assert sorted(question for question in crowd.computed if question.source == ONE) == [asks(number) for number in range(5)]
    crowd.responses.retain({ONE})
    assert crowd.responses.sizes()["fraud"] == 5 * fresh_size()


def fresh_size() -> int:
    responses = cache()
    filled(responses, asks(1))
    return responses.sizes()["fraud"]
