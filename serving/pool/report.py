"""What a worker tells the others on its machine about itself: one file per process, replaced as a whole."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from serving.loading.version import Version
from serving.pool.shelf import Failure
from serving.pool.view import Key, LiveModel, View
from serving.snapshot_file import replace_file


def describe(view: View, failures: Mapping[Key, Failure], started_at: float, now: float) -> dict[str, Any]:
    """The report as JSON-able values. Times are seconds since the epoch."""
    return {
        "pid": os.getpid(),
        "serial": view.serial,
        "started_at": started_at,
        "updated_at": now,
        "routes": {name: live.entry.route.epoch for name, live in view.models.items() if live.entry.route},
        "models": {name: _model(live, failures) for name, live in view.models.items()},
    }


def write_report(workers: Path, report: Mapping[str, Any]) -> None:
    """Replace this worker's file."""
    replace_file(_file(workers, int(report["pid"])), orjson.dumps(report), sync=False)


def remove_report(workers: Path) -> None:
    """This worker is no more."""
    _file(workers, os.getpid()).unlink(missing_ok=True)


def sweep(workers: Path) -> None:
    """Remove the files of processes that ended without removing them."""
    for path in workers.glob("*.json"):
        if path.stem.isdigit() and not _is_alive(int(path.stem)):
            path.unlink(missing_ok=True)


def _file(workers: Path, pid: int) -> Path:
    return workers / f"{pid}.json"


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True


def _model(live: LiveModel, failures: Mapping[Key, Failure]) -> dict[str, Any]:
    route = live.entry.route
    return {
        "epoch": route.epoch if route else None,
        "route": [arm.version for arm in route.arms] if route else [],
        "loaded": [_version(version) for _, version in sorted(live.loaded.items(), key=lambda item: int(item[0]))],
        "errors": {
            key.version: str(failure.error)
            for key, failure in failures.items()
            if key.name == live.entry.name and not _is_served(live, key)
        },
    }


def _is_served(live: LiveModel, key: Key) -> bool:
    """Whether another form of the same version serves."""
    version = live.loaded.get(key.version)
    return version is not None and version.digest == key.digest


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "flavor": version.flavor,
        "compiled": version.compiled,
        "memory_bytes": version.memory_bytes,
        "warm_seconds": version.warm_seconds,
        "quick": version.quick,
    }
