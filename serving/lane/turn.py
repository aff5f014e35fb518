"""One prediction on the event loop: admitted from its head, answered when its body is there. Both lanes take it this way."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from serving.crew import TakeBack
from serving.exchange import Attempt, Exchange, Head
from serving.http import Reply
from serving.plane import Plane, Rest
from stagedoor.errors import Unserved

Send = Callable[[Reply], None]


class Inbox:
    """Brings what threads have finished to the loop: one wake-up for all that came since the last."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._woken = False

    def put(self, call: Callable[[], None]) -> None:
        """Have `call` made in the loop; here and now where the loop is no more."""
        self._calls.append(call)
        if self._woken:
            return
        self._woken = True
        try:
            self.loop.call_soon_threadsafe(self._empty)
        except RuntimeError:  # the loop is closed, and what has been run is to be counted all the same
            self._empty()

    def _empty(self) -> None:
        self._woken = False
        while self._calls:
            self._calls.popleft()()


class Turn:
    """`send` is called once with the answer, in the loop, unless the caller has left: then its work is counted and no more."""

    __slots__ = ("_body", "_inbox", "_plane", "_send", "_timer", "exchange", "left")

    def __init__(self, plane: Plane, inbox: Inbox, head: Head, send: Send) -> None:
        self._plane = plane
        self._inbox = inbox
        self._send = send
        self._body = b""
        self._timer: asyncio.TimerHandle | None = None
        self.exchange = Exchange(head)
        self.left = False

    def admit(self) -> bool:
        """Decide from the head; False where that was the end of it and the refusal has been sent."""
        try:
            self._plane.admit(self.exchange)
        except Exception as error:  # noqa: BLE001  a caller always gets an answer
            self.refuse(error)
            return False
        return True

    def refuse(self, error: Exception) -> None:
        """End it with a problem."""
        self._send(self._plane.fail(self.exchange, error))

    def answer(self, body: bytes) -> None:
        """The body is complete."""
        attempt = self.exchange.attempt
        assert attempt is not None  # noqa: S101  admit comes first
        try:
            self._body = self._plane.unpack(self.exchange, body) if self.exchange.packed else body
        except Exception as error:  # noqa: BLE001  a caller always gets an answer
            self.refuse(error)
            return
        self._try(attempt)

    def leave(self) -> None:
        """The caller has hung up."""
        self.left = True

    def _try(self, attempt: Attempt) -> None:
        plane = self._plane
        try:
            if attempt.version is None:
                self._load(attempt)
                return
            is_quick = plane.is_quick(self.exchange, attempt, self._body)
            answer = (
                plane.answer(self.exchange, attempt, self._body) if is_quick else plane.without_room(self.exchange, attempt)
            )
            if answer is None:
                self._hand_over(attempt)
                return
        except Exception as error:  # noqa: BLE001  a caller always gets an answer
            self._failed(error)
            return
        self._send(answer)

    def _load(self, attempt: Attempt) -> None:
        def loaded(ended: "asyncio.Future[None]") -> None:
            error = ended.exception()
            if error is None:
                self._try(attempt)
            else:
                self._failed(error if isinstance(error, Exception) else RuntimeError("loading was given up"))

        self._inbox.loop.run_in_executor(None, self._plane.load, attempt).add_done_callback(loaded)

    def _hand_over(self, attempt: Attempt) -> None:
        take_back = self._plane.hand_over(self.exchange, attempt, self._body, partial(self._done, attempt))
        patience = self._plane.patience(self.exchange, attempt)
        self._timer = self._inbox.loop.call_later(patience, self._expired, attempt, take_back)

    def _done(self, attempt: Attempt, rest: Rest) -> None:
        """In the thread that ran it."""
        self._inbox.put(partial(self._finish, attempt, rest))

    def _finish(self, attempt: Attempt, rest: Rest) -> None:
        if self.exchange.attempt is not attempt:
            return  # given up before: it has been counted, and another one answers or has answered
        if self._timer is not None:
            self._timer.cancel()
        try:
            reply = rest()
        except Exception as error:  # noqa: BLE001  a caller always gets an answer
            self._failed(error)
            return
        self.exchange.attempt = None
        self._send(reply)

    def _expired(self, attempt: Attempt, take_back: TakeBack) -> None:
        try:
            self._plane.out_of_time(attempt, take_back)
        except Unserved as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Let the stable version answer in its place, or say what went wrong."""
        plane, exchange = self._plane, self.exchange
        second = None if self.left else plane.step_in(exchange, error)
        if second is not None:
            self._try(second)
            return
        reply = plane.fail(exchange, error)
        exchange.attempt = None
        self._send(reply)
