"""A bound on how long a client waits for PostgreSQL, even for a server that takes what is sent and never answers.

The server's own timeouts do not run while it is stopped, and the kernel acknowledges what it never reads: only this side can
give up. When the time is over the connection's socket is shut down, and whatever waits for it gets the driver's error.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class HasSocket(Protocol):
    """A connection of psycopg."""

    def fileno(self) -> int:
        """The socket's file descriptor."""
        ...


class Deadline:
    """Watches the connections handed to it until it is cancelled."""

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._watched: list[HasSocket] = []
        self._over = False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, connection: HasSocket) -> None:
        """Cut it off when the time is over; at once if that is so already."""
        with self._lock:
            self._watched.append(connection)
            if self._over:
                _cut(connection)

    def cancel(self) -> None:
        """The work is done."""
        self._timer.cancel()
        with self._lock:
            self._watched.clear()

    def _end(self) -> None:
        with self._lock:
            self._over = True
            for connection in self._watched:
                _cut(connection)


def _cut(connection: HasSocket) -> None:
    """Shut the socket down. A connection that is closed already has none."""
    with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


class Deadlines:
    """The deadline of what the current thread is doing, for the hook that sees each new connection."""

    def __init__(self) -> None:
        self._current = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Everything that this thread connects to in the block is cut off after so many seconds."""
        deadline = self._current.deadline = Deadline(seconds)
        try:
            yield
        finally:
            self._current.deadline = None
            deadline.cancel()

    def watch(self, connection: HasSocket) -> None:
        """Put a new connection under the current deadline, if there is one."""
        deadline: Deadline | None = getattr(self._current, "deadline", None)
        if deadline is not None:
            deadline.watch(connection)
