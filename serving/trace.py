"""Ids that follow a request: its own, and the trace it belongs to."""

import os
import re
from collections.abc import Mapping
from random import Random
from typing import Final

from stagedoor import names
from stagedoor.errors import MalformedHeader

_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_NO_TRACE: Final = "0" * 32
_draws = Random()  # noqa: S311  seeded by the system: an id has to be distinct, not secret
os.register_at_fork(after_in_child=_draws.seed)  # gunicorn's master imports this for workers that shall not draw the same


def new_request_id() -> str:
    """32 hexadecimal digits."""
    return _draws.randbytes(16).hex()


def request_id_from(headers: Mapping[str, str]) -> str:
    """The caller's request id, "" where it sent none. `headers` has lower-case names.

    Raises MalformedHeader where it is not 1 to 128 visible ASCII characters.
    """
    given = headers.get("x-request-id")
    if given is None:
        return ""
    if not _REQUEST_ID.fullmatch(given):
        raise MalformedHeader(names.HEADER_REQUEST_ID, "1 to 128 visible ASCII characters")
    return given


def trace_id_from(traceparent: str | None) -> str | None:
    """The trace id of a W3C `traceparent` header; None where there is none or it is not well-formed (the standard's rule)."""
    if traceparent is None:
        return None
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[1] == _NO_TRACE or traceparent.startswith("ff"):
        return None
    return match[1]
