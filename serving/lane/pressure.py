"""When an event loop has more to do than it can: told by how long requests wait for it, not by how many there are.

What is ready at one moment is taken up in one go. A request has waited at least since its go began, and came, at the earliest,
when the go before it did. Only a wait that lasts is overload (see serving.standing): a burst, or a moment in which the machine
did something else, is waited out.
"""

from asyncio import AbstractEventLoop
from typing import Final

from serving.standing import Standing

LEAST_REQUESTS: Final = 48
"""So many of each go are answered, however long it takes: with few callers it is the machine that is slow, not the queue."""


class Pressure:
    """One event loop's. `limit_seconds` is how long a request may wait for the loop while more keep coming than it can take."""

    __slots__ = (
        "_began",
        "_ended",
        "_in_one_go",
        "_length",
        "_limit",
        "_loop",
        "_standing",
        "_taken",
    )

    def __init__(self, loop: AbstractEventLoop, limit_seconds: float) -> None:
        self._loop = loop
        self._limit = limit_seconds
        self._in_one_go = False
        self._taken = 0
        self._began = 0.0
        self._ended = 0.0
        self._length = 0.0  # of the go before this one, 0 if the loop had nothing to do in between
        self._standing = Standing()

    @property
    def is_felt(self) -> bool:
        """Whether the last go took longer than a request may wait."""
        return self._length > self._limit

    def refuses(self, now: float) -> bool:
        """Whether a request that is taken up at `now` (the loop's time) should be refused, so that others are in time."""
        if not self._in_one_go:
            self._in_one_go = True
            if now - self._ended > self._limit:
                self._length = 0.0
            self._began = now
            self._taken = 0
            self._loop.call_soon(self._go_ends)
        self._taken += 1
        if not self._standing.over or self._taken <= LEAST_REQUESTS or now - self._began + self._length <= self._limit:
            return False
        self._standing.refused(now)
        return True

    def _go_ends(self) -> None:
        now = self._ended = self._loop.time()
        self._in_one_go = False
        self._length = now - self._began
        self._standing.saw(now, too_long=self._length > self._limit and self._taken > LEAST_REQUESTS)
