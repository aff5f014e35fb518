"""What a connection needs of a head once it has been read, and the last one of it: most callers send the same again."""

from typing import NamedTuple

from serving.exchange import Head
from serving.lane.strict import ParsedHead


class Framing(NamedTuple):
    """How a request goes on and ends. `content_length` is -1 where there is none; `expects` that it be told to go on."""

    content_length: int
    has_chunked: bool
    minor_version: int
    stays: bool
    expects: bool


class Known(NamedTuple):
    """A prediction's head: the bytes, what the plane is told of it, and its framing. The same bytes mean the same again."""

    raw: bytes
    told: Head
    framing: Framing


def framing_of(head: ParsedHead) -> Framing:
    """That of `head`; nothing in it keeps the bytes that the head was parsed from."""
    minor, closes = head.minor_version, head.connection_close
    stays = closes == 0 or (closes < 0 and minor == 1)
    expects = minor == 1 and (head.get_header("expect") or b"").lower() == b"100-continue"
    return Framing(head.content_length, head.has_chunked, minor, stays, expects)
