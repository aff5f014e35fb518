"""How many connections each worker of one gunicorn has, in memory that they share, so that none takes more than its part.

The kernel wakes every worker that listens, and gives connections to whoever asks first. asyncio asks for one in each turn of
its loop, so that the last of many callers wait for as many turns as there are callers before them; a worker that asked for all
would leave the others idle.
"""

import mmap
from typing import Final

PLACES: Final = 256
_ABSENT: Final = -1
_WORD: Final = 4


class Census:
    """Counts by place. Made before the fork; a worker writes its own place alone, and reads the others' without a lock."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, PLACES * _WORD)).cast("i")
        for place in range(PLACES):
            self._counts[place] = _ABSENT

    def say(self, place: int, count: int) -> None:
        """The worker at `place` has so many connections."""
        self._counts[place] = count

    def leave(self, place: int) -> None:
        """The worker at `place` takes no more."""
        self._counts[place] = _ABSENT

    def others(self, place: int) -> list[int]:
        """What each other worker has that takes connections."""
        counts = self._counts.tolist()
        counts[place] = _ABSENT
        return [count for count in counts if count != _ABSENT]


def room(own: int, others: list[int], most: int) -> int:
    """How many connections more a worker with `own` may take, up to `most`: until it has its part, an eighth of it, and one."""
    workers = len(others) + 1
    if workers == 1:
        return most
    # own + n <= 9/8 * (sum + own + n) / workers + 1, solved for n
    left = 9 * (sum(others) + own) + 8 * workers * (1 - own)
    return max(0, min(most, left // (8 * workers - 9)))
