"""What the resolver says to the workers, and hears from them: snapshot, heartbeat, nudge."""

import time
from typing import Final

from serving.snapshot_file import Heartbeat, read_heartbeat, read_snapshot, write_heartbeat, write_snapshot
from stagedoor.domain.snapshot import NOTHING, Snapshot
from stagedoor.errors import RegistryGarbled
from stagedoor.paths import StatePaths
from stagedoor.telemetry import get_logger

RETRY_AFTER: Final = 1.0


class Publisher:
    """The files of one state folder. Holds what was last written, so that nothing is written twice."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._log = get_logger()
        self._retry_at = float("-inf")
        self._nudge = self._nudge_stamp()
        self.heartbeat: Heartbeat | None = read_heartbeat(paths.heartbeat)
        self.snapshot = self._last()

    def publish(self, snapshot: Snapshot, now: float) -> bool:
        """Write the next snapshot. False if the disk refuses; then nothing has changed, and a second later it may do."""
        if self._retry_at - RETRY_AFTER <= now < self._retry_at:
            return False
        try:
            write_snapshot(self._paths.snapshot, snapshot)
        except OSError as error:
            self._retry_at = now + RETRY_AFTER
            self._log.error("snapshot_not_written", errno=error.errno, why="the state folder cannot be written")
            return False
        self.snapshot = snapshot
        return True

    def beat(self, heartbeat: Heartbeat) -> None:
        """Write the heartbeat; if the disk refuses, workers see it age, which is true."""
        self.heartbeat = heartbeat
        try:
            write_heartbeat(self._paths.heartbeat, heartbeat)
        except OSError as error:
            self._log.error("heartbeat_not_written", errno=error.errno, why="the state folder cannot be written")

    def nudged(self) -> bool:
        """Whether somebody asked for a read since the last call."""
        stamp = self._nudge_stamp()
        changed = stamp != self._nudge
        self._nudge = stamp
        return changed

    def _nudge_stamp(self) -> int:
        try:
            return self._paths.nudge.stat().st_mtime_ns
        except OSError:
            return 0

    def _last(self) -> Snapshot:
        """The snapshot on disk. Where one was lost, serials go on from the clock, which is ahead of any count of changes."""
        try:
            return read_snapshot(self._paths.snapshot)
        except FileNotFoundError:
            lost = self.heartbeat is not None
        except (RegistryGarbled, OSError) as error:
            self._log.error("snapshot_lost", why=str(error))
            lost = True
        return Snapshot(int(time.time()), {}) if lost else NOTHING
