"""The path of a request, decoded exactly once. Both transports read it here, so that neither can be tricked alone."""

from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from stagedoor.errors import MalformedName

_RULE: Final = "a path is UTF-8 without control characters, and encodes no slash, backslash or NUL"
_FORBIDDEN: Final = ("%2f", "%5c", "%00")


def path_of(target: str) -> str:
    """The decoded path of a request target as it came over the wire (`/models/fraud%40champion/invocations?x=1`).

    An encoded slash would move a boundary between segments, so it is refused rather than decoded. Raises MalformedName.
    """
    raw = target.partition("?")[0].partition("#")[0]
    if not raw.startswith("/"):
        raw = _path_of_absolute(raw)
    if "%" in raw and any(code in raw.lower() for code in _FORBIDDEN):
        raise MalformedName("path", _RULE)
    try:
        path = unquote_to_bytes(raw.encode("latin-1")).decode()
    except UnicodeError as error:
        raise MalformedName("path", _RULE) from error
    if any(character < " " or character == "\x7f" for character in path):
        raise MalformedName("path", _RULE)
    return path


def _path_of_absolute(target: str) -> str:
    """The path of the absolute form (`http://host/path`), which RFC 9112 asks servers to take."""
    try:
        return urlsplit(target).path or "/"
    except ValueError as error:
        raise MalformedName("path", _RULE) from error
