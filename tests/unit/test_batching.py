"""The queue before a model: nobody waits for company, and what waited meanwhile goes together."""

import numpy as np
import pytest

from serving.batching import Ticket
from serving.values import UNNAMED, Inputs
from tests.batching_world import POISON, Bench, Twice, block, tensor


def test_a_lone_request_starts_at_once_and_alone() -> None:
    bench = Bench(Twice())
    (ticket,) = bench.submit(1.0)
    assert len(bench.threads.pending) == 1
    assert not ticket.begun
    assert bench.run() == [[[2.0]]]
    assert ticket.begun


def test_what_came_before_the_thread_did_goes_together() -> None:
    predictor = Twice()
    bench = Bench(predictor)
    bench.submit(1.0, 2.0, 3.0)
    assert len(bench.threads.pending) == 1
    assert bench.run() == [[[2.0]], [[4.0]], [[6.0]]]
    assert predictor.calls == [3]


def test_what_came_while_a_batch_ran_is_the_next_batch() -> None:
    bench: Bench
    predictor = Twice(during=lambda number: bench.submit(2.0, 3.0, 4.0) if number == 1 else None)
    bench = Bench(predictor)
    bench.submit(1.0)
    assert bench.run() == [[[2.0]], [[4.0]], [[6.0]], [[8.0]]]
    assert predictor.calls == [1, 3]


def test_no_batch_has_more_rows_than_allowed_unless_one_caller_has() -> None:
    predictor = Twice()
    bench = Bench(predictor, max_rows=3)
    bench.submit(tensor(1.0, 2.0), tensor(3.0, 4.0), 5.0, tensor(*range(6)), 7.0)
    bench.run()
    assert predictor.calls == [2, 3, 6, 1]


def test_kinds_do_not_mix_and_take_turns() -> None:
    predictor = Twice()
    bench = Bench(predictor, max_rows=2)
    bench.submit(1.0, 2.0, 3.0, block((1.0, 2.0)), 4.0, 5.0, block((3.0, 4.0)))
    answers = bench.run()
    assert predictor.calls == [2, 2, 2, 1]
    assert answers[3:5] == [[[2.0, 4.0]], [[8.0]]]


def test_the_one_kind_waits_for_one_batch_of_another_at_most() -> None:
    order: list[float] = []
    predictor = Twice()
    bench = Bench(predictor, max_rows=2)
    for value in (*range(10), 100.0):
        inputs = tensor(value, width=2 if value == 100.0 else 1)
        bench.batcher.submit(inputs, lambda answer: order.append(answer.arrays[UNNAMED][0][0] / 2))  # type: ignore[union-attr]
    bench.threads.run()
    assert order == [0, 1, 100, *range(2, 10)]


def test_requests_without_rows_are_predicted_alone() -> None:
    predictor = Twice()
    bench = Bench(predictor)
    empty = Inputs("tensors", {UNNAMED: np.ones((0, 1))}, 0)
    bench.submit(empty, empty, 1.0)
    assert bench.run() == [[], [], [[2.0]]]
    assert sorted(predictor.calls) == [0, 0, 1]


def test_who_leaves_in_time_is_not_predicted_with_and_not_told() -> None:
    predictor = Twice()
    bench = Bench(predictor)
    _, leaver, _ = bench.submit(1.0, 2.0, 3.0)
    assert leaver.cancel()
    assert leaver.cancel()
    bench.threads.run()
    assert [len(told.answers) for told in bench.told] == [1, 0, 1]
    assert predictor.calls == [2]
    assert not leaver.begun
    assert bench.batcher.waiting_rows == 0


def test_if_all_have_left_nothing_is_predicted() -> None:
    predictor = Twice()
    bench = Bench(predictor)
    for ticket in bench.submit(1.0, 2.0):
        assert ticket.cancel()
    bench.threads.run()
    assert predictor.calls == []
    bench.submit(3.0)
    bench.threads.run()
    assert bench.told[-1].value == [[6.0]]


def test_it_is_too_late_to_leave_once_the_prediction_has_begun() -> None:
    tickets: list[Ticket] = []
    bench = Bench(Twice(during=lambda _: [ticket.cancel() for ticket in tickets]))
    tickets += bench.submit(1.0, 2.0)
    assert bench.run() == [[[2.0]], [[4.0]]]
    assert not any(ticket.cancel() for ticket in tickets)


def test_who_fails_to_listen_costs_nobody_else_their_answer() -> None:
    bench = Bench(Twice())

    def deaf(answer: object) -> None:
        raise SystemExit

    bench.batcher.submit(tensor(1.0), deaf)
    bench.submit(2.0)
    assert bench.run() == [[[4.0]]]


def test_a_poison_row_fails_alone() -> None:
    bench = Bench(Twice())
    bench.submit(1.0, POISON, 3.0)
    assert bench.run() == [[[2.0]], "ModelFailed", [[6.0]]]


class Patient:
    """In the place of those who may come again: notes how many are waited for, and has nobody come."""

    def __init__(self) -> None:
        self.expected: list[int] = []
        self.learnt: list[bool] = []

    def expect(self, rows: int) -> None:
        self.expected.append(rows)

    def arrived(self, rows: int) -> None:
        """Nobody is told."""

    def wait(self, batch_seconds: float, guard: object) -> bool:
        return False

    def learn(self, *, came: bool) -> None:
        self.learnt.append(came)


@pytest.mark.parametrize(
    ("first", "during", "expected"),
    [
        pytest.param(1, 0, [], id="who is alone and answered is not waited for"),
        pytest.param(1, 1, [2], id="with one waiting, the one answered is; and after that nobody, as one was answered alone"),
        pytest.param(3, 0, [3], id="of several, none of whom waits, all are"),
        pytest.param(3, 1, [4], id="those who wait and those answered are to go together"),
        pytest.param(8, 3, [4, 3], id="half a full batch is enough"),
        pytest.param(
            8, 5, [4], id="where so many wait already the next batch begins, and only after that the five are waited for"
        ),
    ],
)
def test_so_many_are_waited_for_between_two_batches(first: int, during: int, expected: list[int]) -> None:
    bench: Bench
    predictor = Twice(during=lambda number: bench.submit(*range(during)) if number == 1 else None)
    bench = Bench(predictor)
    bench.batcher._regulars = patient = Patient()  # type: ignore[assignment]  # noqa: SLF001  no other way to see it
    bench.submit(*range(first))
    assert len(bench.run()) == first + during
    assert patient.expected == expected


def test_a_wait_was_worth_it_if_most_have_come() -> None:
    bench: Bench
    bench = Bench(Twice(during=lambda number: bench.submit(4.0, 5.0, 6.0) if number == 1 else None))
    bench.batcher._regulars = patient = Patient()  # type: ignore[assignment]  # noqa: SLF001  the same
    bench.submit(1.0)
    bench.run()
    assert (patient.expected, patient.learnt) == ([4, 3], [True, False])
