"""The response cache: of those who ask the same at once, one computes."""

import threading
from typing import Any

import pytest

from serving.cache import Abandoned, Flight, Lead, Question
from serving.values import Outputs
from stagedoor.errors import ModelFailed

from .asking import MINUTE, ONE, TWO, answer, asks, cache, filled, joined, kept, lead


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
