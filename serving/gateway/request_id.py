"""The identity of one request: its id and the trace it belongs to, read from headers or made up here."""

import os
import re
from typing import Final

from serving.http import Headers
from stagedoor import names
from stagedoor.errors import MalformedHeader

_KEY: Final = names.HEADER_REQUEST_ID.lower()
_VALID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_TRACE: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e\t]*")


def new_request_id() -> str:
    """32 random hexadecimal digits."""
    return os.urandom(16).hex()


def request_id_from(headers: Headers) -> str:
    """The caller's X-Request-Id, or a new one where there is none. `headers` have lower-case names.

    Raises MalformedHeader unless it is sent once, as 1 to 128 visible ASCII characters.
    """
    found: str | None = None
    for name, value in headers:
        if name == _KEY:
            if found is not None:
                raise MalformedHeader(names.HEADER_REQUEST_ID, "send it once")
            if not _VALID.fullmatch(value):
                raise MalformedHeader(names.HEADER_REQUEST_ID, "1 to 128 visible ASCII characters")
            found = value
    return new_request_id() if found is None else found


def trace_id_from(headers: Headers) -> str | None:
    """The trace id of a W3C `traceparent` (https://www.w3.org/TR/trace-context/), or None.

    A value of another form is ignored, as the recommendation says. Raises MalformedHeader for control characters.
    """
    for name, value in headers:
        if name == "traceparent":
            if not _PRINTABLE.fullmatch(value):
                raise MalformedHeader("traceparent", "printable ASCII characters only")
            match = _TRACE.fullmatch(value)
            return match.group(1) if match else None
    return None
