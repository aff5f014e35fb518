"""When to try again and what to forget. Pure: time and chance are arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from stagedoor.domain.snapshot import VersionEntry

Key = tuple[str, str]
"""Model name and version."""

Stage = Literal["prepare", "compile"]
"""What is done about a version: made ready to serve as it is, then compiled."""

FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 300.0
DEMAND_LIFE: Final = 3600.0
ABSENT_LIFE: Final = 10.0
MAX_DEMANDS: Final = 256

NOT_FOUND: Final = "model_not_found"
"""The code of a version that the registry does not have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one job on a version ended.

    `settled` is false if the registry could not be asked, so that it must be tried again. `more`: what is ready serves as it
    is, and its compiled form is still to be made.
    """

    entry: VersionEntry
    settled: bool = True
    more: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one version.

    It is to be prepared (again) once `retry_at` has come, unless `done`; then it is to be compiled where there is `more`.
    """

    entry: VersionEntry
    done: bool = False
    attempts: int = 0
    retry_at: float = 0.0
    more: bool = False

    @property
    def due(self) -> Stage | None:
        """The next job on it, once `retry_at` has come."""
        if not self.done:
            return "prepare"
        return "compile" if self.more else None

    def after(self, outcome: Outcome, now: float, chance: float) -> "Known":
        """What is known once a job has ended; `chance` is uniform over [0, 1). What was prepared is not so again."""
        if outcome.settled and outcome.entry.state == "ready":
            return Known(outcome.entry, done=True, more=outcome.more)
        attempts = self.attempts + 1
        return Known(outcome.entry, self.done, attempts, now + backoff(attempts, chance), outcome.more)

    def anew(self) -> "Known":
        """The same, to be prepared at once: what is ready stays so, and is looked at again."""
        return replace(self, done=False, attempts=0, retry_at=0.0)


def backoff(attempts: int, chance: float) -> float:
    """Seconds until the next attempt: 1, 2, 4 ... 300, each up to a fifth longer or shorter by `chance`."""
    return float(min(LAST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 20)) * (0.8 + 0.4 * chance))


def live_demands(demands: Mapping[Key, float], known: Mapping[Key, Known], now: float) -> frozenset[Key]:
    """The demands to honour, by the time each was last made.

    One lives for an hour; one for a version that does not exist for ten seconds, in which callers learn so. Of more than
    256 the latest count.
    """
    alive = [
        (made, key)
        for key, made in demands.items()
        if now - made <= (ABSENT_LIFE if key in known and known[key].entry.code == NOT_FOUND else DEMAND_LIFE)
    ]
    return frozenset(key for _, key in sorted(alive, reverse=True)[:MAX_DEMANDS])
