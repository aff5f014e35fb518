"""Request bodies that come compressed, by their Content-Encoding (RFC 9110, 8.4): gzip and zstd, one of them at a time.

Whatever a body claims, no more of it is unpacked than the limit and one byte.
"""

import sys
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from stagedoor.errors import BodyTooLarge, MalformedBody, UnsupportedEncoding

ACCEPTED: Final = ("gzip", "zstd")

INLINE_PACKED_BYTES: Final = 4096
INLINE_BYTES: Final = 16_384
"""What `decode_inline` takes: bodies of at most so many bytes, before and after. It costs less than a thread hop."""

MAX_FRAMES: Final = 4096
"""Both formats may be strung together. Each frame costs a fixed time, however little is in it."""

MAX_WINDOW_LOG: Final = 23
"""8 MiB, the most that a zstd body may ask a server to keep (RFC 9659)."""

_CHUNK: Final = 65_536
"""Packed bytes per step: what follows a frame is copied."""


class _Frame(Protocol):
    """The decoder of one gzip member or zstd frame."""

    @property
    def eof(self) -> bool:
        """Whether the frame is complete."""

    @property
    def unused_data(self) -> bytes:
        """What came after it."""

    def decompress(self, data: memoryview, max_length: int, /) -> bytes:
        """The next bytes, at most `max_length` of them."""


class _Coding(NamedTuple):
    name: str
    begin: Callable[[], _Frame]
    error: type[Exception]


def decode(body: bytes, content_encoding: str | None, limit: int) -> bytes:
    """The body as it was before its Content-Encoding; the very same object where there is none.

    Raises UnsupportedEncoding for any other coding and for several at once, BodyTooLarge beyond `limit` bytes, and
    MalformedBody where it is damaged, cut short, or followed by something else. Releases the GIL while it unpacks.
    """
    if not content_encoding:
        return body
    name = content_encoding.strip().lower()
    if name == "identity":
        return body
    open_coding = _CODINGS.get(name)
    if open_coding is None:
        raise UnsupportedEncoding(ACCEPTED)
    return _unpack(body, open_coding(), limit)


def decode_inline(body: bytes, content_encoding: str | None) -> bytes | None:
    """`decode` where that is quick; None where it belongs in a thread. A few packed bytes can unpack to any number."""
    if not content_encoding:
        return body
    if len(body) > INLINE_PACKED_BYTES:
        return None
    try:
        return decode(body, content_encoding, INLINE_BYTES)
    except BodyTooLarge:
        return None


def _unpack(body: bytes, coding: _Coding, limit: int) -> bytes:
    view = memoryview(body)
    parts: list[bytes] = []
    room = limit + 1
    place = 0
    for _ in range(MAX_FRAMES):
        frame = coding.begin()
        while not frame.eof:
            chunk = view[place : place + _CHUNK]
            if not chunk:
                raise MalformedBody(f"ends before its {coding.name} data does")
            try:
                part = frame.decompress(chunk, room)
            except coding.error:
                raise MalformedBody(f"is not {coding.name}, which its Content-Encoding names") from None
            room -= len(part)
            if not room:
                raise BodyTooLarge(limit)
            parts.append(part)
            place += len(chunk)
        place -= len(frame.unused_data)
        if place == len(view):
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise MalformedBody(f"has more than {MAX_FRAMES} {coding.name} frames")


@cache
def _gzip() -> _Coding:
    return _Coding("gzip", lambda: zlib.decompressobj(16 + zlib.MAX_WBITS), zlib.error)


@cache
def _zstd() -> _Coding:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415  a worker without such callers never loads it
    else:
        from backports import zstd  # noqa: PLC0415  the same
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
    return _Coding("zstd", lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError)


_CODINGS: Final[Mapping[str, Callable[[], _Coding]]] = MappingProxyType({"gzip": _gzip, "x-gzip": _gzip, "zstd": _zstd})
