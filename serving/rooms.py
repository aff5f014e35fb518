"""Threads with a bounded queue before them. Work that finds no room is refused at once."""

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Final, TypeVar

from stagedoor.errors import Overloaded

T = TypeVar("T")

NICENESS: Final = 5


class Room:
    """`threads` that work, and `queue` places to wait for one."""

    def __init__(self, threads: int, queue: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=_step_back)
        self.places = threads + queue
        self._free = BoundedSemaphore(self.places)

    def submit(self, work: Callable[..., T], *args: object) -> "Future[T]":
        """Run `work` in one of the threads. Raises Overloaded where too many wait already."""
        if not self._free.acquire(blocking=False):
            raise Overloaded
        try:
            future = self._threads.submit(work, *args)
        except RuntimeError as error:  # it has been closed
            self._free.release()
            raise Overloaded from error
        future.add_done_callback(lambda _: self._free.release())
        return future

    def close(self) -> None:
        """Let running work end and take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _step_back() -> None:
    """Let the event loop go first where there are fewer cores than threads: it answers, refuses, and gathers the next batch."""
    with contextlib.suppress(OSError, AttributeError):  # not every system has priorities for threads
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
