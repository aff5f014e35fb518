"""How long a connection may take for what is awaited of it."""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Final

SLACK_SECONDS: Final = 0.05


class Deadline:
    """An end that moves with each request. One timer serves all: when it rings it looks again where the end has moved to.

    So a request costs one reading of the clock, where a timer of its own would have to be made and cancelled.
    """

    __slots__ = ("_end", "_loop", "_passed", "_rings_at", "_timer")

    def __init__(self, loop: AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._end = 0.0
        self._rings_at = 0.0
        self._timer: TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """What is awaited now has so many seconds."""
        end = self._end = self._loop.time() + seconds
        if self._timer is None or self._rings_at > end + SLACK_SECONDS:
            self._set_timer(seconds)

    def extend(self, seconds: float) -> None:
        """It has so many seconds more."""
        self._end += seconds

    def clear(self) -> None:
        """Nothing is awaited any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, seconds: float) -> None:
        self.clear()
        self._rings_at = self._end
        self._timer = self._loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        left = self._end - self._loop.time()
        if left > SLACK_SECONDS:
            self._set_timer(left)
        else:
            self._passed()
