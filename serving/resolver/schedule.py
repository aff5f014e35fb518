"""When to try again and what to forget. Pure: time and chance are arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stagedoor.domain.snapshot import VersionEntry

Key = tuple[str, str]
"""Model name and version."""

FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 300.0
DEMAND_LIFE: Final = 3600.0
ABSENT_LIFE: Final = 10.0
MAX_DEMANDS: Final = 256

NOT_FOUND: Final = "model_not_found"
"""The code of a version that the registry does not have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one preparation ended. `settled` is false if the registry could not be asked, so that it must be tried again."""

    entry: VersionEntry
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one version. It is to be prepared (again) once `retry_at` has come, unless `done`."""

    entry: VersionEntry
    done: bool = False
    attempts: int = 0
    retry_at: float = 0.0

    def after(self, outcome: Outcome, now: float, chance: float) -> "Known":
        """What is known once a preparation has ended; `chance` is uniform over [0, 1)."""
        if outcome.settled and outcome.entry.state == "ready":
            return Known(outcome.entry, done=True)
        attempts = self.attempts + 1
        return Known(outcome.entry, attempts=attempts, retry_at=now + backoff(attempts, chance))


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
