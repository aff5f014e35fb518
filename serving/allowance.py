"""How much of a version's work may be on its way at once, so that what is accepted is answered in time."""

import math
from typing import Final

from serving.alarm import Alarm
from serving.standing import Standing

LEAST_PATIENCE: Final = 5
"""Whatever the bound in seconds, so many goes may be waited for: a slow model has its callers wait for it. The quickest goes
are meant: under overload all of them become slow, and that shall not lengthen the queue."""

FEW: Final = 48
"""Callers who may be on their way before there is talk of overload. Those who wait for each answer before they ask again
make no queue longer than they are many, and a burst passes."""

BEARABLE: Final = 100
"""Nor is there before even the youngest wait for so many times what a request may wait while there is."""

CALM_SECONDS: Final = 0.5
"""It is over once nobody has had to be refused for so long. A machine stands still for a tenth of a second now and then; an
overload that goes on shall not begin anew each time."""

_SMOOTHING: Final = 1 / 8
_DRIFT: Final = 1.001


class Allowance:
    """What is known of one version's goes (a batch, or one request alone), and what follows from it.

    `wait_seconds` is what a request may wait while more come than can be answered, unless the model itself takes longer.
    At other times `few` callers may be on their way. The `alarm` tells these times apart, here and in other workers. Times
    are seconds of its clock. Threads may call it at once: what they overwrite of each other is but one reading.
    """

    __slots__ = ("_alarm", "_few", "_pace", "_standing", "_wait", "least", "usual")

    def __init__(self, wait_seconds: float, few: int = FEW, alarm: Alarm | None = None) -> None:
        self._alarm = alarm or Alarm()
        self._few = few
        self._wait = wait_seconds
        self._standing = Standing()
        self._pace = 0.0  # rows per second of work: pauses, which refusals would make longer, do not count
        self.usual = 0.0  # moving average of a go, 0 while nothing is known
        self.least = 0.0  # what a go takes where nothing else wants the cores

    @property
    def patience(self) -> float:
        """Seconds that a request may take while more come than can be answered."""
        return max(self._wait, LEAST_PATIENCE * self.least)

    def admits(self, rows: int, callers: int, now: float) -> bool:
        """Whether `rows` of so many callers may be on their way at once, the new ones among them.

        Little's law: what is answered in the time allowed is the pace times that time.
        """
        if not self._pace or rows <= self._pace * self.patience:
            return True
        if callers <= self._few and not self._is_overload(now):
            return True
        self._alarm.sound(now)
        return False

    def came_too_early(self, now: float) -> float:
        """Whoever came before this has waited for too long to be answered in time; minus infinity but in an overload.

        They were let in before it was known for one, or the machine did something else. To answer them all the same would
        make everybody behind them late.
        """
        return now - self.patience if self._is_overload(now) else -math.inf

    def _is_overload(self, now: float) -> bool:
        return now - self._alarm.last <= CALM_SECONDS

    def began(self, now: float, youngest_waited: float) -> None:
        """A go begins with what has waited at least so long."""
        standing = self._standing
        standing.saw(now, too_long=bool(self.usual) and youngest_waited > max(BEARABLE * self._wait, self.patience))
        if standing.over:
            self._alarm.sound(now)

    def ended(self, seconds: float, rows: int) -> None:
        """A go took so long, in which `rows` were worked on side by side."""
        share = _SMOOTHING if self.usual else 1.0
        self.usual += (seconds - self.usual) * share
        self.least = min(seconds, self.least * _DRIFT) if self.least else seconds
        if seconds > 0:
            self._pace += (rows / seconds - self._pace) * share
