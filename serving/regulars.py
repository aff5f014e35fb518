"""Callers who come again as soon as they are answered, and the short wait for them between two batches.

In one batch with those who wait already they cost hardly more than in the one after: the wait pays as long as they do come.
"""

from threading import Lock
from typing import Final

FULL_SHARE: Final = 1.0
"""Of what a batch usually takes, so much is waited at most for all of them. What it takes to answer them and to read what they
send next has to fit in."""
SCANT_SHARE: Final = 0.2
"""And so much while they have been found not to come: some other caller might."""
MOST_SECONDS: Final = 0.005
MOST_SCANT: Final = 16
"""After the first wait in vain the next one is scant, then the next two, four, ... and at most so many in a row."""


class Regulars:
    """The wait of one thread between two batches. `expect` and `arrived` want the lock that is given to `wait`."""

    __slots__ = ("_awaited", "_bell", "_scant", "_scant_next")

    def __init__(self) -> None:
        self._bell = Lock()
        self._bell.acquire()
        self._awaited = 0
        self._scant = 0  # waits that are to be scant
        self._scant_next = 1

    @property
    def share(self) -> float:
        """Of what a batch usually takes, so much is the next wait at most."""
        return SCANT_SHARE if self._scant else FULL_SHARE

    def expect(self, rows: int) -> None:
        """The wait is to end as soon as so many rows are waiting."""
        self._awaited = rows

    def arrived(self, rows: int) -> None:
        """So many rows are waiting now."""
        if 0 < self._awaited <= rows:
            self._awaited = 0
            self._bell.release()

    def wait(self, batch_seconds: float, guard: Lock) -> bool:
        """Wait for those expected; whether all have come. `batch_seconds` is what a batch usually takes."""
        came = self._bell.acquire(timeout=min(self.share * batch_seconds, MOST_SECONDS))
        if not came:
            with guard:
                came, self._awaited = not self._awaited, 0
                if came:  # just now
                    self._bell.acquire(blocking=False)
        return came

    def learn(self, *, came: bool) -> None:
        """Whether the wait that has ended was worth it."""
        if came:
            self._scant, self._scant_next = 0, 1
        elif self._scant:
            self._scant -= 1
        else:
            self._scant, self._scant_next = self._scant_next, min(2 * self._scant_next, MOST_SCANT)
