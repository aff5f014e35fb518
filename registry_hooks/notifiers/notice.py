"""What notifiers are told."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Notice:
    """Something happened to a version: `event` is a ledger's kind (`promoted`, `rolled_back`, ...), `reason` a sentence.

    `at` is in seconds since 1970, `who` the subject that caused it.
    """

    model: str
    version: str
    event: str
    reason: str
    at: float
    who: str

    @property
    def title(self) -> str:
        """One line for a channel: `fraud: version 8 rolled back`."""
        return f"{self.model}: version {self.version} {self.event.replace('_', ' ')}"


class Notifier(Protocol):
    """Passes a notice on. It runs in a thread of its own; what it raises is logged, and nothing waits for it."""

    def __call__(self, notice: Notice) -> None:
        """Tell whoever it tells. May block; is given up after the announcer's deadline."""
