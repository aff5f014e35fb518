"""One batcher for each version that is given rows of several callers at once; made when first wanted, gone with its version."""

from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

from serving.alarm import Alarm
from serving.batching import Batcher
from serving.loading.version import Version
from serving.rooms import Room
from stagedoor.domain.tuning import Tuning

USUAL_ROWS: Final = 32
"""Rows at most in a batch where the model's tag says nothing."""


def most_rows(version: Version, tuning: Tuning) -> int:
    """Rows at most in one batch of `version`; below 2, each request runs alone."""
    may = version.batchable or (tuning.batch_declared and version.rows_apart)
    if not may:
        return 0
    return USUAL_ROWS if tuning.batch is None else tuning.batch


class Batchers:
    """The batchers whose predictions run in `room`. Safe to use from any number of threads."""

    def __init__(self, room: Room, max_wait_seconds: float) -> None:
        """`max_wait_seconds` is what a request may wait for its batch, unless the model itself takes longer."""
        self._room = room
        self._max_wait = max_wait_seconds
        self._made: WeakKeyDictionary[Version, tuple[int, Batcher]] = WeakKeyDictionary()
        self._making = Lock()

    def of(self, version: Version, tuning: Tuning) -> Batcher | None:
        """That of `version` under the limit of now; None where its requests run alone."""
        rows = most_rows(version, tuning)
        if rows < 2:  # noqa: PLR2004  one row is no batch
            return None
        known = self._made.get(version)
        if known is None or known[0] != rows:
            with self._making:
                known = self._made.get(version)
                if known is None or known[0] != rows:
                    known = self._made[version] = rows, self._make(version, rows)
        return known[1]

    def _make(self, version: Version, rows: int) -> Batcher:
        check, alarm = version.signature.check_outputs, Alarm.of(version.name, version.version)
        return Batcher(version.predictor, check, rows, self._room.submit, max_wait_seconds=self._max_wait, alarm=alarm)
