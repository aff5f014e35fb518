"""Whether a queue stands: told by how long its youngest waits, not by how many are in it.

A queue that is empty now and then takes up bursts and makes batches large. One in which everybody has waited, turn after turn,
does nothing but add to every answer (the idea of CoDel, RFC 8289).
"""

from typing import Final

LASTING_SECONDS: Final = 0.1


class Standing:
    """One queue's. `over` says that it stands, until nobody has had to be refused for as long as it took to find out."""

    __slots__ = ("_refused_at", "_saw_at", "_since", "over")

    def __init__(self) -> None:
        self.over = False
        self._since: float | None = None
        self._refused_at = 0.0
        self._saw_at = 0.0

    def saw(self, now: float, *, too_long: bool) -> None:
        """At `now` (of any clock) the next go of work began, and even the youngest in it had waited `too_long`, or not."""
        if self.over:
            self.over = now - self._refused_at < LASTING_SECONDS or self._refused_at >= self._saw_at
        elif not too_long:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > LASTING_SECONDS:
            self.over = True
            self._since = None
            self._refused_at = now
        self._saw_at = now

    def refused(self, now: float) -> None:
        """Somebody was refused, so that others are in time."""
        self._refused_at = now
