"""Opportunistic batching: what queued while the last batch ran goes together, and an idle version begins at once.

Whoever submits first starts a drain in some thread; it serves what waits, batch after batch, until nothing does. So one
prediction runs at a time, and the more callers there are, the larger the batches.
"""

import time
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, Final

from serving.alarm import Alarm
from serving.allowance import FEW, Allowance
from serving.checked import Check
from serving.joint import Joint
from serving.regulars import Regulars
from serving.tickets import Done, Lines, Ticket, rows_in
from serving.values import Inputs, Outputs, Predictor
from stagedoor.errors import Overloaded
from stagedoor.telemetry import get_logger

__all__ = ["Batcher", "Done", "Ticket"]

MAX_WAITING_ROWS: Final = 4096
MAX_WAIT_SECONDS: Final = 5.0
HANGS_AFTER_SECONDS: Final = 5.0
SURE_BATCHES: Final = 2
"""So many full batches may wait until the queue is found to stand: a burst is no overload, however busy the machine is."""

MOST_OF: Final = 0.75
"""Of those who were waited for so many have to come for the next wait to be as long."""

TURN_SECONDS: Final = 0.05
"""After so long a drain gives its thread to whatever else waits for one, and queues for another."""


class _Turn:
    """The right to serve what waits. `since`: when the batch in hand was begun; None while there is none."""

    __slots__ = ("since",)

    def __init__(self) -> None:
        self.since: float | None = None


class Batcher:
    """Predicts for many callers at once. Safe to use from any number of threads.

    `run_in` starts a piece of work in another thread, or raises. `max_rows` is the most rows of one prediction, unless a
    single caller has more. `max_waiting_rows` and `max_wait_seconds`, which is what the batches in front are likely to take,
    bound the queue; whoever would be the first in it is always let in. In an overload those who have waited for too long when
    their turn comes are refused. A batch that takes longer than `hangs_after_seconds`
    is taken to hang, and those behind it go to another thread.
    """

    def __init__(  # noqa: PLR0913  what it works with, and its limits
        self,
        predictor: Predictor,
        check: Check,
        max_rows: int,
        run_in: Callable[[Callable[[], None]], object],
        max_waiting_rows: int = MAX_WAITING_ROWS,
        *,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        hangs_after_seconds: float = HANGS_AFTER_SECONDS,
        alarm: Alarm | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._joint = Joint(predictor, check)
        self._max_rows = max_rows
        self._run_in = run_in
        self._max_waiting_rows = max_waiting_rows
        self._allowance = Allowance(max_wait_seconds, max(FEW, (SURE_BATCHES + 1) * max_rows), alarm)
        self._hangs_after = hangs_after_seconds
        self._clock = clock
        self._guard = Lock()
        self._arrived: list[Ticket] = []
        self._lines = Lines(self._guard)  # sorted from `_arrived`, by whoever has the turn
        self._waiting = 0
        self._waiting_rows = 0
        self._rows_in_hand = self._callers_in_hand = 0
        self._turn: _Turn | None = None
        self._regulars = Regulars()

    @property
    def waiting_rows(self) -> int:
        """Rows that no prediction has begun with."""
        return self._waiting_rows

    @property
    def one_by_one(self) -> bool:
        """Whether the predictor has turned out not to keep its callers' rows apart, so that each is served alone."""
        return self._joint.one_by_one

    def submit(self, inputs: Inputs, done: Done) -> Ticket:
        """Queue `inputs`. Raises Overloaded where too much waits, and whatever `run_in` raises.

        `done` gets the outputs or the error, once, in the thread that predicts. It should be quick: others wait behind it.
        """
        ticket = Ticket(self._guard, inputs, done, self._clock())
        rows = inputs.rows
        starting = None
        with self._guard:
            turn = self._turn
            if turn is None or self._is_lost(turn, rows):
                starting = self._turn = _Turn()
            self._arrived.append(ticket)
            self._waiting += 1
            self._waiting_rows += rows
            self._regulars.arrived(self._waiting_rows)
        if starting is not None:
            self._start(starting, ticket)
        return ticket

    def _is_lost(self, turn: _Turn, rows: int) -> bool:
        """Whether the batch in hand hangs. Raises Overloaded where `rows` more are too many, or would wait for too long."""
        since = turn.since
        if since is not None and self._clock() - since > self._hangs_after:
            return True
        if not self.has_room(rows):
            raise Overloaded
        return False

    def has_room(self, rows: int) -> bool:
        """Whether `rows` more are not too many, and would not wait for too long; also for who has yet to read them."""
        waiting, turn = self._waiting_rows, self._turn
        if not waiting or turn is None:
            return True
        if waiting + rows > self._max_waiting_rows:
            return False
        allowance = self._allowance
        callers = self._callers_in_hand + self._waiting + 1
        if not allowance.admits(self._rows_in_hand + waiting + rows, callers, self._clock()):
            return False
        if waiting + rows <= SURE_BATCHES * self._max_rows and not self._joint.one_by_one:
            return True
        usual, since = allowance.usual, turn.since
        age = 0.0 if since is None else self._clock() - since
        left = usual - age if age < usual else age
        ahead = self._waiting if self._joint.one_by_one else max(-(-waiting // self._max_rows), len(self._lines))
        patience = allowance.patience if usual else max(allowance.patience, MAX_WAIT_SECONDS)  # nothing is known yet
        return left + ahead * max(usual, age) <= patience

    def _start(self, turn: _Turn, ticket: Ticket) -> None:
        try:
            self._run_in(partial(self._drain, turn))
        except BaseException:
            self._give_up(turn, besides=ticket)
            raise

    def _give_up(self, turn: _Turn, besides: Ticket | None = None) -> None:
        """Nobody will serve what waits: tell them all, and leave the queue empty for whoever comes next."""
        with self._guard:
            if self._turn is not turn:
                return
            waiting = [ticket for ticket in (*self._lines.clear(), *self._arrived) if not ticket.cancelled]
            for ticket in waiting:
                ticket.begun = True
            self._arrived = []
            self._waiting = self._waiting_rows = 0
            self._turn = None
        for ticket in waiting:
            if ticket is not besides:
                _tell(ticket, Overloaded())

    def _drain(self, turn: _Turn) -> None:
        """Serve what waits until nothing does, or another has the turn."""
        try:
            until = self._clock() + TURN_SECONDS
            while batch := self._next(turn):
                self._serve(turn, batch)
                self._gather(turn, rows_in(batch))
                if self._clock() > until:
                    if self._is_handed_on(turn):
                        return
                    until = self._clock() + TURN_SECONDS
        except BaseException:  # no model's doing, but who waits must not wait for a thread that has ended
            self._give_up(turn)
            raise

    def _next(self, turn: _Turn) -> list[Ticket]:
        """The next batch; none where nothing waits, which ends the turn, or where another has it."""
        while True:
            with self._guard:
                if self._turn is not turn:
                    return []
                arrived, self._arrived = self._arrived, []
                if not arrived and not self._lines:
                    self._turn = None
                    return []
            self._lines.add(arrived)
            too_early = self._allowance.came_too_early(self._clock())
            batch, gone = self._lines.take(self._max_rows, too_early, one_by_one=self._joint.one_by_one)
            with self._guard:
                self._waiting -= len(batch) + len(gone)
                self._waiting_rows -= rows_in(batch) + rows_in(gone)
            for ticket in gone:
                if not ticket.cancelled:
                    _tell(ticket, Overloaded())
            if batch:
                return batch

    def _serve(self, turn: _Turn, batch: list[Ticket]) -> None:
        began = turn.since = self._clock()
        self._allowance.began(began, began - batch[-1].at)
        rows = self._rows_in_hand = rows_in(batch)
        self._callers_in_hand = len(batch)
        self._joint.answer([ticket.inputs for ticket in batch], lambda at, answer: _tell(batch[at], answer))
        turn.since = None
        if self._turn is turn:  # one that seemed to hang says nothing of the others
            # A batch that one caller alone has made too large says how long a full one takes.
            self._allowance.ended((self._clock() - began) * min(1.0, self._max_rows / max(rows, 1)), min(rows, self._max_rows))
            self._rows_in_hand = self._callers_in_hand = 0

    def _gather(self, turn: _Turn, answered: int) -> None:
        """Give those just answered the time to come again. Who was alone, and is, begins at once.

        Half a full batch is enough: while it runs the other half can be read.
        """
        with self._guard:
            waiting = self._waiting_rows
            goal = min(waiting + answered, max(self._max_rows // 2, 2))
            if self._turn is not turn or self._joint.one_by_one or goal < 2 or waiting >= goal:  # noqa: PLR2004  a batch
                return
            self._regulars.expect(goal)
        came = self._regulars.wait(self._allowance.usual, self._guard)
        self._regulars.learn(came=came or self._waiting_rows >= MOST_OF * goal)

    def _is_handed_on(self, turn: _Turn) -> bool:
        """Whether the rest will be served by the next free thread; if none can be had, it is for this one."""
        if self._turn is not turn or not self._waiting:
            return False
        try:
            self._run_in(partial(self._drain, turn))
        except Exception:  # noqa: BLE001  whatever keeps other threads from it
            return False
        return True


def _tell(ticket: Ticket, answer: Outputs | Exception) -> None:
    try:
        ticket.done(answer)
    except BaseException as error:  # noqa: BLE001  one caller who fails to listen must not cost the others their answers
        log: Any = get_logger()
        log.warning("answer_lost", error=type(error).__name__)
