"""Requests that run alone: what is taken is answered in time, and what is not is refused at once."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from serving.solo import Solo
from serving.standing import LASTING_SECONDS
from stagedoor.errors import Overloaded

EACH = 0.010


class OneThread:
    """A room with one thread whose work is done when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.is_closed = False

    def submit(self, work: Callable[[], Any]) -> "Future[Any]":
        if self.is_closed:
            raise Overloaded
        future: Future[Any] = Future()
        self.waiting.append((future, work))
        return future

    def do_one(self) -> None:
        future, work = self.waiting.pop(0)
        if future.set_running_or_notify_cancel():
            work()
            future.set_result(None)


class Site:
    def __init__(self) -> None:
        self.now = 0.0
        self.room = OneThread()
        self.solo = Solo(self.room, 0.010, lambda: self.now)  # type: ignore[arg-type]

    def work(self) -> None:
        self.now += EACH

    def ask(self) -> bool:
        try:
            self.solo.submit(self.work)
        except Overloaded:
            return False
        return True


def test_who_asks_one_after_the_other_is_never_refused() -> None:
    site = Site()
    for _ in range(300):
        assert site.ask()
        site.room.do_one()


def test_three_times_what_can_be_done_leaves_those_accepted_in_time() -> None:
    site = Site()
    refused = 0
    for _ in range(300):
        refused += [site.ask(), site.ask(), site.ask()].count(False)
        site.room.do_one()
        assert site.now < LASTING_SECONDS * 6 or len(site.room.waiting) <= 6, "five goes and one more may be on their way"
    assert refused > 500


def test_after_the_flood_there_is_room_again() -> None:
    site = Site()
    for _ in range(100):
        site.ask()
        site.ask()
        site.room.do_one()
    while site.room.waiting:
        site.room.do_one()
    assert site.ask()
    site.room.do_one()


def test_work_that_was_taken_back_or_never_let_in_leaves_its_place() -> None:
    site = Site()
    take_back = site.solo.submit(site.work)
    assert take_back()
    site.room.is_closed = True
    with pytest.raises(Overloaded):
        site.solo.submit(site.work)
    site.room.is_closed = False
    assert site.solo.on_their_way == 0
