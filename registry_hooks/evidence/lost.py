"""Requests that were given to a version and never came to anything: the worker died with them. Pure.

The gateways count a request before it predicts, and what came of it afterwards. Counters do not say which request an outcome
belongs to, so that the number of lost ones is bounded from two sides:

- Whatever was given out before the deadline and exceeds all outcomes until now is lost for certain. Requests that came later
  and were answered hide others, so this finds a version that kills every worker, and is slow to find one that seldom does.
- What is lost stays on the way for ever, so the fewest requests seen on the way during a whole deadline are as many as were
  lost, or more: a busy version always has some. By Little's law it has rate times duration of them on average, and the
  fewest seen are below the average; what exceeds twice that, rounded up, is taken for lost. Rounding up forgives one
  request to a caller whose beat is that of the looks.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

ENOUGH_LOOKS: Final = 10
"""With fewer looks in a window the fewest on the way could be high by chance."""
RECORDING_SECONDS: Final = 0.02
"""How long after its end a request is counted, on average."""
MAX_LOOKS: Final = 256


@dataclass(frozen=True, slots=True)
class Look:
    """Totals at one moment. `finished` are outcomes of every kind, the caller's errors too."""

    at: float
    assigned: int
    finished: int


@dataclass(slots=True)
class History:
    """The looks of the last deadline at one version in one epoch of one life of a gateway, and what was lost in it."""

    looks: deque[Look] = field(default_factory=deque)
    lost: int = 0

    def add(self, look: Look, *, deadline: float, mean_seconds: float | None) -> int:
        """Take one more look, and return how many were lost so far; never fewer than before.

        `mean_seconds` is what a request takes on average; None where looks are too far apart to say who is on the way.
        """
        self._keep(look, deadline)
        self.lost = max(self.lost, lost(tuple(self.looks), deadline=deadline, mean_seconds=mean_seconds))
        return self.lost

    def _keep(self, look: Look, deadline: float) -> None:
        """Bounded: of a long deadline at most MAX_LOOKS; one look from before the deadline stays."""
        looks = self.looks
        crowded = len(looks) > 1 and look.at - looks[-2].at < deadline / MAX_LOOKS
        if crowded:
            looks.pop()
        looks.append(look)
        while len(looks) > 1 and looks[1].at <= look.at - deadline:
            looks.popleft()


def lost(looks: tuple[Look, ...], *, deadline: float, mean_seconds: float | None) -> int:
    """How many requests will have no outcome any more. `looks` are in order of time, the last one is now."""
    first, last = looks[0], looks[-1]
    span = last.at - first.at
    if span < deadline:
        return 0
    certain = max(0, first.assigned - last.finished)
    if mean_seconds is None or len(looks) < ENOUGH_LOOKS:
        return certain
    fewest = min(look.assigned - look.finished for look in looks)
    rate = (last.assigned - first.assigned) / span
    usual = math.ceil(2 * rate * (mean_seconds + RECORDING_SECONDS))
    return max(certain, fewest - usual)
