"""Bodies in chunks (RFC 9112, section 7.1), read strictly.

gunicorn's C parser lets a chunk size run over 64 bits, where it wraps, takes line feeds within extensions and trailers, and
sets no bound on either; each of them has been used to make two servers see different requests in the same bytes.
"""

import re
from typing import Final

from stagedoor.problems import MalformedRequest

LONGEST_LINE: Final = 256
"""Bytes of one line with a chunk's size and its extensions, or with a trailer."""

MOST_TRAILERS: Final = 4096
"""Bytes of all trailers. They are checked and dropped."""

MOST_OVERHEAD: Final = 16_384
"""Bytes of framing beyond the allowance that each chunk brings."""

ALLOWANCE: Final = 16
"""Bytes of framing that go with each chunk for nothing, besides two for each byte of data."""

_SIZE, _END_OF_DATA, _TRAILER = range(3)
_CRLF: Final = b"\r\n"
_TEXT: Final = rb"[\t -~\x80-\xff]*"
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;" + _TEXT + rb")?\r\n")
_SIZE_BEGUN: Final = re.compile(rb"(?:[0-9A-Fa-f]{1,15}(?:;" + _TEXT + rb")?\r?)?")
_TRAILER_LINE: Final = re.compile(rb"(" + _TOKEN + rb"):" + _TEXT + rb"\r\n")
_TRAILER_BEGUN: Final = re.compile(rb"\r?|" + _TOKEN + rb"(?::" + _TEXT + rb"\r?)?")
_CRLF_BEGUN: Final = re.compile(rb"\r?")
_BEGUN: Final = (_SIZE_BEGUN, _CRLF_BEGUN, _TRAILER_BEGUN)
_NO_TRAILERS: Final = frozenset(
    {
        b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"trailer", b"te",
        b"authorization", b"connection", b"expect", b"range",
    }
)  # fmt: skip
"""RFC 9110, section 6.5.1: what frames or routes a message, or says who sends it, cannot come behind it."""


class ChunkedBody:
    """One body. What is fed may be cut anywhere: the outcome is the same. Of no use any more once it has raised."""

    __slots__ = ("_left", "_line", "_overhead", "_state", "_trailers")

    def __init__(self) -> None:
        self._state = _SIZE
        self._left = 0  # bytes of the chunk in hand that are still to come
        self._line = b""  # the beginning of a line whose end has not come
        self._overhead = 0
        self._trailers = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Body bytes in `data`, and what follows the body; None in its place while the body goes on.

        Raises MalformedRequest as early as the bytes show it; then the connection must be closed.
        """
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\n", at, at + LONGEST_LINE) + 1
            if not end:
                self._begin_line(data[at : at + LONGEST_LINE + 1])
                break
            line, self._line = self._line + data[at:end], b""
            at = end
            if self._take_line(line):
                return b"".join(pieces), data[at:]
        return b"".join(pieces), None

    def _begin_line(self, data: bytes) -> None:
        line = self._line + data
        if len(line) > LONGEST_LINE:
            raise MalformedRequest("A line between the chunks of the body is too long.")
        if not _BEGUN[self._state].fullmatch(line):
            raise _malformed(self._state)
        self._line = line

    def _take_line(self, line: bytes) -> bool:
        """Take a whole line; whether it was the body's last."""
        if len(line) > LONGEST_LINE:
            raise MalformedRequest("A line between the chunks of the body is too long.")
        if self._state == _SIZE:
            self._take_size(line)
        elif self._state == _TRAILER:
            return self._take_trailer(line)
        elif line == _CRLF:
            self._state = _SIZE
        else:
            raise _malformed(self._state)
        return False

    def _take_size(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            raise _malformed(self._state)
        self._left = int(found[1], 16)
        self._state = _END_OF_DATA if self._left else _TRAILER
        # The same rule as in Go's net/http: a byte in a chunk of its own is fine for a while, long extensions are not.
        self._overhead = max(0, self._overhead + len(line) + len(_CRLF) - ALLOWANCE - 2 * self._left)
        if self._overhead > MOST_OVERHEAD:
            raise MalformedRequest("The body is cut into too many tiny chunks with extensions.")

    def _take_trailer(self, line: bytes) -> bool:
        if line == _CRLF:
            return True
        found = _TRAILER_LINE.fullmatch(line)
        if found is None or found[1].lower() in _NO_TRAILERS:
            raise _malformed(self._state)
        self._trailers += len(line)
        if self._trailers > MOST_TRAILERS:
            raise MalformedRequest("The body has too many trailers.")
        return False


def _malformed(state: int) -> MalformedRequest:
    if state == _SIZE:
        return MalformedRequest("A chunk of the body must begin with its size in hexadecimal digits and CR LF.")
    if state == _END_OF_DATA:
        return MalformedRequest("A chunk of the body must end in CR LF after as many bytes as its size says.")
    return MalformedRequest("A trailer behind the body is malformed, or must not stand there.")
