"""When to read the registry, and how much of it. Time is an argument."""

from typing import Final, Literal

FULL_SHARE: Final = 0.1
"""Reading all of a large registry costs its server far more than reading what is served: at most this share of the time."""
LONGEST_PARTLY: Final = 15.0
"""Seconds after which all is read again, however long it takes."""

Scope = Literal["all", "served"]


class Polling:
    """Reads every `poll_seconds`, and at once after a nudge; all models where that is quick, else mostly those served."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll = poll_seconds
        self._scope: Scope = "all"
        self._nudged = False
        self._then_all = False
        self._full_at = float("-inf")
        self._full_seconds = 0.0
        self.began = float("-inf")
        self.seconds = 0.0

    def nudge(self) -> None:
        """Somebody says that there is news; of what, is not known."""
        self._nudged = True

    def begin(self, now: float, *, serving: bool) -> Scope | None:
        """What to read now, if anything. `serving`: whether any model serves something."""
        # A registry too slow to be read in half the time between two reads is left in peace the other half.
        waited = now - self.began >= max(self._poll, 2 * self.seconds) or now < self.began
        if not (self._nudged or self._then_all or waited):
            return None
        rest = max(self._poll, min(LONGEST_PARTLY, self._full_seconds / FULL_SHARE))
        rested = now - self._full_at >= rest or now < self._full_at
        if self._nudged and serving and rest > self._poll:
            scope: Scope = "served"  # first; the news may be about another model, so that all are read right after
            self._then_all = True
        elif self._nudged or self._then_all or rested:
            scope = "all"
            self._then_all = False
        elif serving:
            scope = "served"
        else:
            return None
        self._nudged = False
        self._scope = scope
        self.began = now
        return scope

    def end(self, now: float) -> Scope:
        """The read that began has ended, well or not."""
        self.seconds = max(0.0, now - self.began)
        if self._scope == "all":
            self._full_at, self._full_seconds = self.began, self.seconds
        return self._scope
