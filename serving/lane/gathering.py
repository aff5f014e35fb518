"""The body of a request, gathered until it is whole. Nobody is given a request whose end has not come."""

from typing import Final

from serving.lane.chunked import ChunkedBody
from serving.lane.framing import Framing
from serving.lane.sized import SizedBody
from stagedoor.errors import BodyTooLarge

BYTES_PER_SECOND: Final = 65_536
"""A body has the time of a head, and a second more for each of so many bytes that have come."""


class Gathering:
    """A body that is framed so, of at most `limit` bytes.

    With `raw_head` the request is kept as it came, head and framing and all, for a reader of its own: it gets nothing that has
    not been checked here.
    """

    __slots__ = ("_limit", "_pieces", "_raw", "_reader", "_size")

    def __init__(self, framing: Framing, limit: int, raw_head: bytes = b"") -> None:
        self._reader = ChunkedBody() if framing.has_chunked else SizedBody(framing.content_length)
        self._limit = limit
        self._raw = bool(raw_head)
        self._pieces = [raw_head]
        self._size = 0

    def feed(self, data: bytes) -> bytes | None:
        """What comes behind the body, None while it goes on. Raises MalformedRequest and BodyTooLarge."""
        piece, rest = self._reader.feed(data)
        self._size += len(piece)
        if self._size > self._limit:
            raise BodyTooLarge(self._limit)
        if self._raw:
            piece = data[: -len(rest)] if rest else data
        self._pieces.append(piece)
        return rest

    def whole(self) -> bytes:
        """The body, or the whole request with its head where that was kept."""
        return b"".join(self._pieces)
