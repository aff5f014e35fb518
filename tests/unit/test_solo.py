"""Requests that run alone: what is taken is answered in time, and what is not is refused at once."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest

from serving.allowance import FEW
from serving.batching import HANGS_AFTER_SECONDS, TURN_SECONDS
from serving.solo import Solo
from stagedoor.errors import Overloaded

EACH = 0.010
PATIENCE = 5
"""Goes."""


class Threads:
    """A room whose work is done when it is told to, one piece after the other."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], Any]] = []
        self.is_closed = False
        self.places = 1000

    def submit(self, work: Callable[[], Any]) -> None:
        if self.is_closed:
            raise Overloaded
        self.waiting.append(work)

    def do_one(self) -> None:
        self.waiting.pop(0)()


class Site:
    """A clock that goes on by `EACH` for each prediction."""

    def __init__(self, side_by_side: float = math.inf) -> None:
        self.now = 0.0
        self.room = Threads()
        self.refused = 0
        self.solo = Solo(self.room, 0.010, side_by_side, clock=lambda: self.now)  # type: ignore[arg-type]

    def work(self) -> None:
        self.now += EACH

    def refuse(self) -> None:
        self.refused += 1

    def submit(self, work: Callable[[], Any]) -> Callable[[], bool]:
        return self.solo.submit(work, self.refuse)

    def run(self) -> None:
        while self.room.waiting:
            self.room.do_one()

    def ask(self) -> bool:
        try:
            self.submit(self.work)
        except Overloaded:
            return False
        return True


def test_who_asks_one_after_the_other_is_never_refused() -> None:
    site = Site()
    for _ in range(300):
        assert site.ask()
        site.room.do_one()


def test_a_few_who_come_again_as_soon_as_they_are_answered_are_never_refused() -> None:
    site = Site()
    left = 2_000

    def work() -> None:
        nonlocal left
        site.now += EACH
        left -= 1
        if left > FEW:
            site.submit(work)

    for _ in range(FEW - 1):  # each thinks of its next question while its answer is not counted as given
        site.submit(work)
    site.run()
    assert left <= FEW


def test_three_times_what_can_be_done_leaves_those_accepted_in_time() -> None:
    site = Site()
    waits: list[float] = []
    refused = 0

    def ask() -> bool:
        came = site.now

        def work() -> None:
            waits.append(site.now - came)
            site.now += EACH
            for _ in range(3):
                ask_again()

        try:
            site.submit(work)
        except Overloaded:
            return False
        return True

    def ask_again() -> None:
        nonlocal refused
        if len(waits) < 1000:
            refused += not ask()

    ask()
    site.run()
    assert refused > 1500
    assert max(waits[3 * FEW :]) <= 6 * EACH, "five goes and one more may be on their way"


def test_those_let_in_before_it_was_known_for_an_overload_are_refused_once_they_are_late() -> None:
    site = Site(side_by_side=1)
    site.ask()
    site.run()
    for crowd, late in ((FEW, 0), (FEW + 1, FEW - PATIENCE - 1)):
        began = site.now
        taken = sum(site.ask() for _ in range(crowd))
        site.run()
        assert taken == FEW
        assert site.refused == late
        assert round((site.now - began) / EACH) == taken - late, "nothing is run that nobody gets"
        assert site.solo.on_their_way == 0


def test_no_core_waits_for_its_next_however_slow_the_machine_has_become() -> None:
    site = Site(side_by_side=2)
    site.ask()
    site.run()
    for _ in range(100):  # from now on each takes ten times as long
        site.submit(lambda: setattr(site, "now", site.now + 10 * EACH))
        site.run()
    assert sum(site.ask() for _ in range(FEW + 2)) == FEW, "before it is known for an overload"
    site.run()
    assert sum(site.ask() for _ in range(FEW)) == 3, "one in each hand, and the next"


def test_no_more_run_side_by_side_than_there_are_cores_for() -> None:
    site = Site(side_by_side=2)
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        while site.room.waiting:  # other threads, while this one is at it
            site.room.do_one()
        running -= 1

    for _ in range(10):
        site.submit(work)
    site.run()
    assert most == 2
    assert site.solo.on_their_way == 0, "and nobody is forgotten"


def test_they_run_in_the_order_in_which_they_came() -> None:
    site = Site(side_by_side=1)
    order: list[int] = []
    for number in range(20):
        site.submit(lambda number=number: order.append(number))  # type: ignore[misc]
    site.run()
    assert order == list(range(20))


def test_one_that_hangs_leaves_its_core_to_others() -> None:
    site = Site(side_by_side=1)
    done: list[str] = []

    def hang() -> None:
        site.submit(lambda: done.append("behind"))
        site.room.do_one()
        assert done == []
        site.now += HANGS_AFTER_SECONDS
        site.submit(lambda: done.append("later"))
        site.room.do_one()

    site.submit(hang)
    site.room.do_one()
    assert done == ["behind", "later"]


def test_a_thread_is_given_back_now_and_then() -> None:
    site = Site()
    for _ in range(20):
        site.ask()
    site.room.do_one()
    assert TURN_SECONDS < site.now < TURN_SECONDS + 2 * EACH
    site.run()
    assert site.solo.on_their_way == 0


def test_whoever_ends_its_thread_leaves_the_rest_to_another() -> None:
    site = Site()

    def end() -> None:
        raise SystemExit

    site.submit(end)
    site.ask()
    for _ in range(2):
        with contextlib.suppress(SystemExit):
            site.room.do_one()
    site.run()
    assert site.now == EACH
    assert site.solo.on_their_way == 0


def test_work_that_was_taken_back_or_never_let_in_leaves_its_place() -> None:
    site = Site()
    take_back = site.submit(site.work)
    assert take_back()
    assert not take_back()
    site.room.is_closed = True
    with pytest.raises(Overloaded):
        site.submit(site.work)
    site.room.is_closed = False
    assert site.solo.on_their_way == 0
    site.room.do_one()
    assert site.now == 0.0
    too_late = site.submit(site.work)
    site.room.do_one()
    assert not too_late()
