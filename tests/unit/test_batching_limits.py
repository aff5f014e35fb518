"""How long the queue before a model may get, and what becomes of those behind a batch that hangs."""

import pytest

from serving.alarm import Alarm
from serving.batching import TURN_SECONDS, Batcher, Ticket
from stagedoor.errors import Overloaded
from tests.batching_world import CHECK, Bench, Told, Twice, tensor


def test_more_rows_than_may_wait_are_refused_at_once() -> None:
    bench = Bench(Twice(), max_waiting_rows=3)
    bench.submit(1.0, tensor(2.0, 3.0))
    with pytest.raises(Overloaded):
        bench.submit(4.0)
    assert bench.batcher.waiting_rows == 3
    assert bench.run() == [[[2.0]], [[4.0], [6.0]]]
    assert bench.batcher.waiting_rows == 0
    bench.submit(5.0)
    assert bench.run()[-1] == [[10.0]]


def test_a_request_of_more_rows_than_may_wait_is_taken_where_nothing_waits() -> None:
    bench = Bench(Twice(), max_waiting_rows=3)
    bench.submit(tensor(*range(10)))
    with pytest.raises(Overloaded):
        bench.submit(1.0)
    assert bench.run() == [[[2.0 * number] for number in range(10)]]


def test_so_it_is_where_a_batch_is_in_hand_and_nothing_waits_behind_it() -> None:
    bench: Bench
    predictor = Twice(during=lambda number: bench.submit(tensor(*range(10))) if number == 1 else None)
    bench = Bench(predictor, max_waiting_rows=3)
    bench.submit(1.0)
    bench.run()
    assert predictor.calls == [1, 10]


def test_who_would_wait_for_too_long_is_refused() -> None:
    bench: Bench
    refused: list[int] = []

    def during(number: int) -> None:
        if number == 2:  # by now a batch is known to take 1 s
            for place in range(9):
                try:
                    bench.submit(tensor(1.0, 2.0))
                except Overloaded:
                    refused.append(place)
        bench.clock.now += 1.0

    bench = Bench(Twice(during), max_rows=2, max_wait_seconds=6.5)
    bench.submit(1.0)
    bench.run()
    bench.submit(2.0)
    bench.run()
    # The batch in hand has 1 s left, so five more of 1 s each may be in front of anybody.
    assert refused == [6, 7, 8]
    assert len(bench.told) == 8


def test_a_model_that_serves_one_by_one_has_longer_queues() -> None:
    bench: Bench
    refused: list[int] = []

    def during(number: int) -> None:
        if number == 5:
            for place in range(9):
                try:
                    bench.submit(1.0)
                except Overloaded:
                    refused.append(place)
        bench.clock.now += 1.0

    bench = Bench(Twice(during), max_rows=64, max_wait_seconds=6.5)
    bench.batcher._joint.one_by_one = True  # noqa: SLF001  what an answer without rows leads to
    bench.submit(1.0, 2.0, 3.0, 4.0)
    bench.run()
    bench.submit(5.0)
    bench.run()
    assert refused == [6, 7, 8]


def test_where_no_thread_can_be_had_the_caller_learns_it_and_nothing_stays_behind() -> None:
    predictor = Twice()
    bench = Bench(predictor)
    bench.threads.full = True
    with pytest.raises(Overloaded):
        bench.submit(1.0)
    assert bench.batcher.waiting_rows == 0
    bench.threads.full = False
    bench.submit(2.0)
    assert bench.run() == [[[4.0]]]
    assert predictor.calls == [1]


def test_who_queued_behind_a_start_that_failed_is_told_so() -> None:
    predictor = Twice()
    told: list[Told] = []
    tickets: list[Ticket] = []
    batcher: Batcher

    def run_in(work: object) -> None:
        told.append(Told())
        tickets.append(batcher.submit(tensor(2.0), told[0]))
        raise Overloaded

    batcher = Batcher(predictor, CHECK, 8, run_in)
    first = Told()
    with pytest.raises(Overloaded):
        batcher.submit(tensor(1.0), first)
    assert told[0].value == "Overloaded"
    assert not tickets[0].cancel()
    assert first.answers == []
    assert predictor.calls == []


def test_a_batch_that_hangs_does_not_hold_up_those_behind_it() -> None:
    bench: Bench

    def during(number: int) -> None:
        if number == 1:
            bench.submit(2.0)
            bench.clock.now += 6.0
            bench.submit(3.0)  # a second thread is asked for
            assert len(bench.threads.pending) == 1
            bench.threads.run()
            assert [len(told.answers) for told in bench.told] == [0, 1, 1]

    predictor = Twice(during)
    bench = Bench(predictor, hangs_after_seconds=5.0)
    bench.submit(1.0)
    assert bench.run() == [[[2.0]], [[4.0]], [[6.0]]]
    assert predictor.calls == [1, 2]
    bench.submit(4.0)
    assert bench.run()[-1] == [[8.0]]


def test_a_batch_that_only_seemed_to_hang_leaves_the_rest_to_the_other_thread() -> None:
    bench: Bench

    def during(number: int) -> None:
        if number == 1:
            bench.submit(2.0)
            bench.clock.now += 6.0
            bench.submit(3.0)

    predictor = Twice(during)
    bench = Bench(predictor, hangs_after_seconds=5.0)
    bench.submit(1.0)
    bench.threads.pending.pop()()
    assert predictor.calls == [1]
    assert [len(told.answers) for told in bench.told] == [1, 0, 0]
    assert bench.run() == [[[2.0]], [[4.0]], [[6.0]]]
    assert predictor.calls == [1, 2]


def test_a_batch_that_has_taken_long_refuses_those_who_would_wait_longer() -> None:
    bench: Bench

    def during(number: int) -> None:
        if number == 1:
            bench.submit(2.0, 3.0)  # two batches may always wait
            bench.clock.now += 3.0
            with pytest.raises(Overloaded):
                bench.submit(4.0)

    bench = Bench(Twice(during), max_rows=1, max_wait_seconds=5.0)
    bench.submit(1.0)
    assert bench.run() == [[[2.0]], [[4.0]], [[6.0]]]


def test_a_slow_model_has_its_callers_wait_for_five_batches_whatever_the_bound_in_seconds() -> None:
    bench: Bench

    def during(number: int) -> None:
        bench.clock.now += 4.0
        if number == 2:  # a batch takes 4 s, and the one in hand has taken as long already
            bench.submit(3.0, 4.0, 5.0, 6.0, 7.0)
            with pytest.raises(Overloaded):
                bench.submit(8.0)
            assert not bench.batcher.has_room(1)

    bench = Bench(Twice(during), max_rows=1, max_wait_seconds=0.01)
    bench.submit(1.0)
    bench.run()
    bench.submit(2.0)
    assert bench.run() == [[[2.0 * number]] for number in range(1, 8)]


@pytest.mark.parametrize(("sounds", "answered"), [(0, 5), (1, 2)])
def test_who_was_let_in_before_it_was_known_for_an_overload_is_refused_once_late(sounds: int, answered: int) -> None:
    alarm = Alarm()

    def during(number: int) -> None:
        bench.clock.now += 1.0 if number == 1 else 3.0  # five times the quickest may be waited for
        if sounds:
            alarm.sound(bench.clock.now)

    predictor = Twice(during)
    bench = Bench(predictor, max_rows=1, max_wait_seconds=1.5, alarm=alarm)
    bench.submit(1.0)
    bench.run()
    bench.clock.now += 1.0
    tickets = bench.submit(1.0, 2.0, 3.0, 4.0, 5.0)
    assert bench.run()[1:] == [[[2.0 * number]] for number in range(1, answered + 1)] + ["Overloaded"] * (5 - answered)
    assert predictor.calls == [1] * (1 + answered)
    assert not any(ticket.cancel() for ticket in tickets), "it is too late to leave"
    assert bench.batcher.waiting_rows == 0


def test_a_busy_model_gives_its_thread_to_others_now_and_then() -> None:
    bench: Bench
    ran: list[str] = []

    def during(number: int) -> None:
        ran.append("batch")
        if number == 1:
            bench.submit(2.0)
            bench.threads(lambda: ran.append("another model"))
            bench.clock.now += TURN_SECONDS * 2

    bench = Bench(Twice(during))
    bench.submit(1.0)
    assert bench.run() == [[[2.0]], [[4.0]]]
    assert ran == ["batch", "another model", "batch"]


def test_where_no_other_thread_can_be_had_a_busy_model_keeps_its_own() -> None:
    bench: Bench

    def during(number: int) -> None:
        bench.clock.now += TURN_SECONDS * 2
        bench.threads.full = number == 1
        if number == 1:
            bench.threads.full = False
            bench.submit(2.0)
            bench.threads.full = True

    bench = Bench(Twice(during))
    bench.submit(1.0)
    assert bench.run() == [[[2.0]], [[4.0]]]


def test_what_breaks_a_drain_leaves_nobody_behind_it_waiting() -> None:
    bench: Bench

    def broken() -> float:
        bench.batcher._clock = bench.clock  # noqa: SLF001  nothing else in it can be made to break
        raise RuntimeError

    def during(number: int) -> None:
        if number == 1:
            bench.submit(2.0)
            bench.batcher._clock = broken  # noqa: SLF001  the same

    bench = Bench(Twice(during))
    bench.submit(1.0)
    with pytest.raises(RuntimeError):
        bench.threads.run()
    assert [told.value for told in bench.told] == [[[2.0]], "Overloaded"]
    bench.submit(3.0)
    assert bench.run()[-1] == [[6.0]]
