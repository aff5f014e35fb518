"""What the files of the state folder say about this machine. Read at each question; nothing here decides."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serving.gateway.health import Signs
from serving.gateway.services import Services
from serving.snapshot_file import Heartbeat, read_heartbeat, read_snapshot
from stagedoor.domain.snapshot import NOTHING, Snapshot
from stagedoor.errors import StagedoorError
from stagedoor.paths import StatePaths

WORKER_SILENT_AFTER: Final = 15.0
"""Seconds after which a worker that has not written its file counts as gone. A living one writes each second."""


@dataclass(frozen=True, slots=True)
class Node:
    """One reading. `snapshot` is what the resolver published last; a worker may still be loading it."""

    snapshot: Snapshot
    heartbeat: Heartbeat | None
    workers: tuple[Mapping[str, Any], ...]


class NodeReader:
    """Reads the state folder, parsing the snapshot again only when its file has changed. Safe for several threads."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._snapshot = NOTHING

    def read(self, now: float) -> Node:
        """The files as of now. What is missing or damaged reads as nothing; the last good snapshot is kept."""
        return Node(self._read_snapshot(), _read_heartbeat(self._paths), _read_workers(self._paths, now))

    def _read_snapshot(self) -> Snapshot:
        with self._lock:
            try:
                stat = self._paths.snapshot.stat()
                if (stat.st_ino, stat.st_mtime_ns) != self._seen:
                    self._snapshot = read_snapshot(self._paths.snapshot)
                    self._seen = (stat.st_ino, stat.st_mtime_ns)
            except (OSError, StagedoorError):
                pass
            return self._snapshot


def _read_heartbeat(paths: StatePaths) -> Heartbeat | None:
    try:
        return read_heartbeat(paths.heartbeat)
    except (OSError, StagedoorError):
        return None


def _read_workers(paths: StatePaths, now: float) -> tuple[Mapping[str, Any], ...]:
    workers = []
    for file in sorted(paths.workers.glob("*.json")):
        try:
            report = orjson.loads(file.read_bytes())
        except (OSError, orjson.JSONDecodeError):  # it has ended, or a damaged file
            continue
        if isinstance(report, dict) and now - float(report.get("updated_at") or 0) <= WORKER_SILENT_AFTER:
            workers.append(report)
    return tuple(workers)


def staleness(heartbeat: Heartbeat | None, now: float) -> float | None:
    """Seconds since the registry was last read well; None if it never was."""
    return heartbeat.staleness(now) if heartbeat is not None else None


def signs_of(services: Services, node: Node, now: float) -> Signs:
    """What health is judged by. The process that asks serves requests itself, so it counts as a worker."""
    entries = node.snapshot.models.values()
    heartbeat = node.heartbeat
    return Signs(
        serial=services.pool.view.serial,
        workers=max(1, len(node.workers)),
        staleness=staleness(heartbeat, now),
        registry_error=heartbeat.error if heartbeat else None,
        refused=sum(1 for entry in entries for version in entry.versions.values() if version.state == "refused"),
        problems=sum(len(entry.problems) for entry in entries),
        registry_empty=heartbeat is not None and heartbeat.succeeded_at is not None and heartbeat.models == 0,
    )
