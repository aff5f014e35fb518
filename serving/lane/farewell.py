"""The end of a connection whose caller may still be sending, or does not read what it was told."""

from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable
from typing import Final

from serving.lane.asgi import LINGER_BYTES, LINGER_SECONDS

UNREAD_SECONDS: Final = 60.0
"""Time a caller has to read an answer; then what is left of it is thrown away with the connection."""


def close_in_time(loop: AbstractEventLoop, transport: Transport, close: Callable[[], None]) -> None:
    """Close now, and let nobody keep the connection by not reading."""
    unread = transport.get_write_buffer_size() > 0
    close()
    if unread:
        loop.call_later(UNREAD_SECONDS, transport.abort)


class Farewell:
    """Says that nothing more will come, reads on for a moment, then closes.

    Closing at once would reset the connection, and with it the answer, under a caller who is still sending.
    """

    __slots__ = ("_close", "_loop", "_seen", "_transport")

    def __init__(self, loop: AbstractEventLoop, transport: Transport, close: Callable[[], None]) -> None:
        self._loop = loop
        self._transport = transport
        self._close = close
        self._seen = 0
        if transport.can_write_eof():
            transport.write_eof()
        loop.call_later(LINGER_SECONDS, self._end)

    def throw_away(self, data: bytes) -> None:
        """What the caller still sends."""
        self._seen += len(data)
        if self._seen > LINGER_BYTES:
            self._end()

    def _end(self) -> None:
        close_in_time(self._loop, self._transport, self._close)
