"""What the gateways counted of one model in one epoch. Plain numbers; who collects them is no matter here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Counts:
    """One arm in one epoch. Numbers only grow.

    `assigned` were given to the version, counted before it predicted. `ok` and `failed` are what came of them: failed is a
    model_error, an invalid_output, a timeout, or no outcome at all by the deadline. `slow` are those over the route's
    `slow_seconds` or timed out, counted beside `ok` and `failed`. The caller's own errors and overload are in none of these.
    """

    assigned: int = 0
    ok: int = 0
    failed: int = 0
    slow: int = 0

    @property
    def outcomes(self) -> int:
        """Those that say something about the version."""
        return self.ok + self.failed


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """The mirrored version in one epoch, against the answer that was sent. `dropped` were never run, for lack of room."""

    agreed: int = 0
    disagreed: int = 0
    failed: int = 0
    dropped: int = 0

    @property
    def pairs(self) -> int:
        """Requests that both versions have answered, or the mirrored one failed to."""
        return self.agreed + self.disagreed + self.failed


@dataclass(frozen=True, slots=True)
class Evidence:
    """One model in one epoch: counts by the arm's name. An arm without any counts is absent."""

    epoch: int
    arms: Mapping[str, Counts] = field(default_factory=lambda: MappingProxyType({}))
    shadow: ShadowCounts = ShadowCounts()

    def of(self, arm: str) -> Counts:
        """The counts of one arm."""
        return self.arms.get(arm, NONE)


NONE: Final = Counts()
