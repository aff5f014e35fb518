"""When to read the registry, and how much of it. Time is an argument."""

from typing import Literal

Scope = Literal["page", "served"]
"""The next page of all models (and those served, if there are more pages), or only those served."""


class Polling:
    """Reads every `poll_seconds`, and at once after a nudge; sooner again while there are pages to hurry through."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll = poll_seconds
        self._nudged = False
        self._hurried = 0
        self.began = float("-inf")
        self.seconds = 0.0

    def nudge(self) -> None:
        """Somebody says that there is news; of what, is not known."""
        self._nudged = True

    def go_on(self) -> None:
        """The next page is wanted soon."""
        self._hurried = max(self._hurried, 1)

    def begin(self, now: float, *, serving: bool, pages: int) -> Scope | None:
        """What to read now, if anything. `serving`: whether any model serves something; `pages`: how many all models are."""
        # A registry too slow to be read in half the time between two reads is left in peace the other half.
        pause = max(0.0 if self._hurried else self._poll, 2 * self.seconds)
        if not (self._nudged or now - self.began >= pause or now < self.began):
            return None
        scope: Scope = "page"
        if self._nudged:
            self._hurried = pages  # the news may be on any of them
            if serving and pages > 1:
                scope = "served"  # first
        if scope == "page":
            self._hurried = max(0, self._hurried - 1)
        self._nudged = False
        self.began = now
        return scope

    def end(self, now: float, *, well: bool) -> None:
        """The read that began has ended. There is no hurry where it failed."""
        self.seconds = max(0.0, now - self.began)
        if not well:
            self._hurried = 0
