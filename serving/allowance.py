"""How much of a version's work may be on its way at once, so that what is accepted is answered in time."""

from typing import Final

from serving.standing import Standing

LEAST_PATIENCE: Final = 5
"""Whatever the bound in seconds, so many goes may be waited for: a slow model has its callers wait for it. The quickest goes
are meant: under overload all of them become slow, and that shall not lengthen the queue."""

_SMOOTHING: Final = 1 / 8
_DRIFT: Final = 1.001


class Allowance:
    """What is known of one version's goes (a batch, or one request alone), and what follows from it.

    `wait_seconds` is what a request may wait, unless the model itself takes longer. Times are seconds of one clock. Threads may
    call it at once: what they overwrite of each other is but one reading.
    """

    __slots__ = ("_pace", "_standing", "_wait", "least", "usual")

    def __init__(self, wait_seconds: float) -> None:
        self._wait = wait_seconds
        self._standing = Standing()
        self._pace = 0.0  # rows per second of work: pauses, which refusals would make longer, do not count
        self.usual = 0.0  # moving average of a go, 0 while nothing is known
        self.least = 0.0  # what a go takes where nothing else wants the cores

    @property
    def patience(self) -> float:
        """Seconds that a request may take while more come than can be answered."""
        return max(self._wait, LEAST_PATIENCE * self.least)

    def admits(self, rows: int, now: float) -> bool:
        """Whether `rows` may be on their way at once, the new ones among them. One request may be, whatever its size.

        Little's law: what is answered in the time allowed is the pace times that time.
        """
        standing = self._standing
        if not standing.over or not self._pace or rows <= self._pace * self.patience:
            return True
        standing.refused(now)
        return False

    def began(self, now: float, youngest_waited: float) -> None:
        """A go begins with what has waited at least so long."""
        self._standing.saw(now, too_long=bool(self.usual) and youngest_waited > self.patience)

    def ended(self, seconds: float, rows: int) -> None:
        """A go took so long, in which `rows` were worked on side by side."""
        share = _SMOOTHING if self.usual else 1.0
        self.usual += (seconds - self.usual) * share
        self.least = min(seconds, self.least * _DRIFT) if self.least else seconds
        if seconds > 0:
            self._pace += (rows / seconds - self._pace) * share
