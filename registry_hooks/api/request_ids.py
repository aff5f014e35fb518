"""The id of a request: the caller's, or a new one."""

import re
import uuid
from typing import Final

from stagedoor import names
from stagedoor.errors import MalformedHeader

_FORM: Final = re.compile(r"[!-~]{1,128}")


def new_id() -> str:
    """32 hexadecimal digits."""
    return uuid.uuid4().hex


def checked_id(given: str | None) -> str:
    """The caller's id, or a new one without. Raises MalformedHeader; WSGI joins two headers with a comma."""
    if given is None:
        return new_id()
    if "," in given:
        raise MalformedHeader(names.HEADER_REQUEST_ID, "send it once")
    if not _FORM.fullmatch(given):
        raise MalformedHeader(names.HEADER_REQUEST_ID, "1 to 128 visible ASCII characters")
    return given
