"""What the workers of one gunicorn tell each other: that more is asked of a version than can be answered in time.

Callers keep to their connections, and each worker sees only its own: those of one would wait in a long queue while another
refuses nearly all.
"""

import math
import mmap
from typing import Final
from zlib import crc32

_PLACES: Final = 1024
_WORD: Final = 8


def _silent(places: int) -> "memoryview[float]":
    """Memory that processes share which are forked later."""
    memory = memoryview(mmap.mmap(-1, places * _WORD)).cast("d")
    for place in range(places):
        memory[place] = -math.inf
    return memory


_SHARED: Final = _silent(_PLACES)
"""gunicorn's master imports this module before it forks. One that does not leaves each worker alone with what it knows."""


class Alarm:
    """One version's. Times are seconds of a clock that all processes share, as `time.perf_counter` is on Linux."""

    __slots__ = ("_memory", "_place")

    def __init__(self, memory: "memoryview[float] | None" = None, place: int = 0) -> None:
        self._memory = _silent(1) if memory is None else memory
        self._place = place

    @classmethod
    def of(cls, name: str, version: str) -> "Alarm":
        """That of a version, in all workers. Any other has one chance in a thousand of sharing it."""
        return cls(_SHARED, crc32(f"{name}/{version}".encode()) % _PLACES)

    def sound(self, now: float) -> None:
        """Somebody has had to be refused."""
        self._memory[self._place] = now

    @property
    def last(self) -> float:
        """When it was sounded last; minus infinity for never."""
        return self._memory[self._place]
