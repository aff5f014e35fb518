"""New workers once they could share what each of them holds by itself.

With the first pyfunc version of a running gateway each worker imports MLflow for itself, so that it can answer soon. Then each
holds the same hundred megabytes. A moment later, when all is loaded, one of them asks gunicorn's master to reload. The master
imports the same, forks new workers, which share its pages, and lets the old ones end when those answer.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import orjson

from serving.before_fork import SHAREABLE, modules_for, share_modules
from serving.snapshot_file import read_snapshot
from stagedoor.errors import RegistryGarbled
from stagedoor.paths import StatePaths
from stagedoor.telemetry import get_logger

REST_SECONDS: Final = 5.0
"""So long nothing more is imported before anybody asks: several versions that come in a row cost one reload."""

LOOK_SECONDS: Final = 1.0
LATER_SECONDS: Final = 60.0
"""Until the next look where the master would import nothing of it: a version without a route."""

FIRST_WORKER_SECONDS: Final = 15.0
"""How long a reload waits for the first new worker before it goes on."""

_GLANCE_SECONDS: Final = 0.05
_RIGHT: Final = b"?"


class Renewal:
    """What gunicorn's master knows of sharing; its workers inherit it with the fork.

    The right to ask is given to one worker of each generation: those that were forked between two reloads. So N workers ask
    once, and what the master could not import is never asked for again.
    """

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._shared: frozenset[str] = frozenset()
        self._right: int | None = None
        self._first: tuple[Any, float] | None = None
        self._waited = False

    # --- in the master ---

    def begin(self) -> None:
        """A generation begins, and one of its workers may ask."""
        if self._right is not None:
            os.close(self._right)
        self._right, writer = os.pipe()  # who reads its one byte has the right, the others read its end
        os.write(writer, _RIGHT)
        os.close(writer)
        self._first, self._waited = None, False

    def share(self) -> None:
        """Import what the snapshot of now needs."""
        self._shared = share_modules(self._paths, self._shared)

    def make_way(self, worker: Any) -> None:  # noqa: ANN401  gunicorn's worker
        """Called before each `worker` of a reload is forked; before the second it waits until the first takes requests.

        When all are forked, gunicorn tells the old ones to end, whether anybody answers in their place or not.
        """
        if self._first is None:
            self._first = (worker, worker.tmp.last_update())
        elif not self._waited:
            self._waited = True
            end = time.monotonic() + FIRST_WORKER_SECONDS
            while time.monotonic() < end and not _has_begun(*self._first):
                time.sleep(_GLANCE_SECONDS)

    # --- in a worker ---

    def watch(self, ask: Callable[[], None]) -> None:
        """Have a thread follow what this worker imports, and call `ask` at most once: when it should be replaced."""
        threading.Thread(target=self.follow, args=(ask,), name="renewal", daemon=True).start()

    def follow(self, ask: Callable[[], None]) -> None:
        """As `watch`, in the calling thread: returns when this worker, or another of its generation, has asked."""
        seen: frozenset[str] = frozenset()
        due = 0.0
        while True:
            time.sleep(LOOK_SECONDS)
            imported = alone(self._shared)
            if imported != seen:
                seen, due = imported, time.monotonic() + REST_SECONDS
            elif imported and time.monotonic() >= due:
                wait = self.patience(imported)
                if wait == 0:
                    break
                due = time.monotonic() + wait
        if self.take_right():
            ask()

    def patience(self, imported: frozenset[str]) -> float:
        """Seconds to wait before the master is asked to share what this worker has `imported`; 0 if it may be done now.

        The worker has to have settled down, and a route to need what it imported: the master knows of nothing else.
        """
        try:
            snapshot = read_snapshot(self._paths.snapshot)
            report = orjson.loads((self._paths.workers / f"{os.getpid()}.json").read_bytes())
        except (OSError, ValueError, RegistryGarbled):
            return REST_SECONDS
        if report["serial"] < snapshot.serial:
            return REST_SECONDS
        return LATER_SECONDS if imported.isdisjoint(modules_for(snapshot, self._paths.store)) else 0.0

    def take_right(self) -> bool:
        """Whether it is this worker that may ask. True once in a generation."""
        return self._right is not None and os.read(self._right, 1) == _RIGHT


def alone(shared: frozenset[str]) -> frozenset[str]:
    """What this process has imported of that which can be shared, and is not `shared`."""
    return frozenset(name for name in SHAREABLE if name in sys.modules and name not in shared)


def asks(master: int) -> Callable[[], None]:
    """Asks gunicorn's master for a reload, if it still is the parent of this process."""

    def ask() -> None:
        log = get_logger()
        if os.getppid() != master:
            return
        try:
            os.kill(master, signal.SIGHUP)
            log.info("renewal_asked", why="workers hold libraries by themselves that they could share")
        except PermissionError:
            log.info("renewal_not_asked", why="this worker may not signal gunicorn's master, which runs as another user")

    return ask


def _has_begun(worker: Any, before: float) -> bool:  # noqa: ANN401  gunicorn's worker
    """Whether a worker has given its first sign of life since `before`, or will not any more. It is not reaped."""
    if worker.tmp.last_update() != before:
        return True
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True
