"""Hands notices to notifiers, each in a thread and with a bounded queue of its own."""

import contextlib
import threading
import time
from collections.abc import Sequence
from queue import Full, Queue
from typing import Final

from registry_hooks.notifiers.notice import Notice, Notifier
from stagedoor.telemetry import get_logger

QUEUE: Final = 100
DEADLINE_SECONDS: Final = 30.0


class Announcer:
    """Tells all notifiers, and returns at once. One that fails, hangs or is slow harms no other, and loses notices alone.

    `deadline` is how long one notice may take, in seconds. A notifier that takes longer is left alone with it, and gets no
    further notice before it comes back.
    """

    def __init__(self, notifiers: Sequence[tuple[str, Notifier]], deadline: float = DEADLINE_SECONDS) -> None:
        self._desks = tuple(_Desk(name, notifier, deadline) for name, notifier in notifiers)

    @property
    def names(self) -> tuple[str, ...]:
        """Who is told."""
        return tuple(desk.name for desk in self._desks)

    def __call__(self, notice: Notice) -> None:
        """Tell everybody, soon. Never raises, never blocks; a notice for which a queue has no room is lost to its notifier."""
        for desk in self._desks:
            desk.put(notice)

    def close(self, seconds: float = 5.0) -> None:
        """Give what is queued that much time in all, then forget it."""
        end = time.monotonic() + seconds
        for desk in self._desks:
            desk.close(max(end - time.monotonic(), 0.0))


class _Desk:
    """One notifier with its queue."""

    def __init__(self, name: str, notifier: Notifier, deadline: float) -> None:
        self.name = name
        self._notifier = notifier
        self._deadline = deadline
        self._queue: Queue[Notice | None] = Queue(QUEUE)
        self._log = get_logger(notifier=name)
        self._thread = threading.Thread(target=self._work, name=f"notifier-{name}", daemon=True)
        self._thread.start()

    def put(self, notice: Notice) -> None:
        try:
            self._queue.put_nowait(notice)
        except Full:
            self._log.warning("notice_lost", model=notice.model, what=notice.event, why="the queue is full")

    def close(self, seconds: float) -> None:
        with contextlib.suppress(Full):
            self._queue.put(None, timeout=seconds)
        self._thread.join(seconds)

    def _work(self) -> None:
        while (notice := self._queue.get()) is not None:
            # A thread for each, since nothing can end one that hangs; there is never more than one of them.
            telling = threading.Thread(target=self._tell, args=(notice,), name=f"telling-{self.name}", daemon=True)
            telling.start()
            telling.join(self._deadline)
            if telling.is_alive():
                self._log.warning("notifier_late", model=notice.model, what=notice.event, seconds=self._deadline)
                telling.join()

    def _tell(self, notice: Notice) -> None:
        try:
            self._notifier(notice)
        except Exception as error:  # noqa: BLE001  somebody else's code; its message may hold an address with a secret in it
            self._log.warning("notifier_failed", model=notice.model, what=notice.event, error=type(error).__name__)
