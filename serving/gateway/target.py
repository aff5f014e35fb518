"""The path of a WSGI request, safe to route by. Werkzeug routes by the decoded path; what decoding hides is refused here."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from stagedoor.errors import MalformedName

_RULE: Final = "a path is UTF-8 without control characters, and encodes no slash, backslash or percent sign"
_HIDDEN: Final = ("%2f", "%5c", "%25", "%00")


def checked_path(environ: Mapping[str, Any]) -> str:
    """The path as it was sent, in one canonical percent-encoding.

    An encoded slash would move a boundary between segments, and an encoded percent sign asks to be decoded twice; no
    name holds either, so both are refused rather than read. Raises MalformedName.
    """
    sent = _as_sent(environ)
    if "%" in sent and any(code in sent.lower() for code in _HIDDEN):
        raise MalformedName("path", _RULE)
    decoded = environ.get("PATH_INFO", "/").encode("latin-1", "replace")
    for path in (unquote_to_bytes(sent.encode("latin-1", "replace")), decoded):
        try:
            text = path.decode()
        except UnicodeDecodeError as error:
            raise MalformedName("path", _RULE) from error
        if any(character < " " or character == "\x7f" for character in text):
            raise MalformedName("path", _RULE)
    return quote(decoded, safe="/@:")


def _as_sent(environ: Mapping[str, Any]) -> str:
    """What the server kept of the request line; without it, nothing can be told to be hidden.

    gunicorn keeps RAW_URI, other servers REQUEST_URI, and behind the lane a2wsgi hands on the ASGI scope.
    """
    scope = environ.get("asgi.scope")
    if scope is not None:
        return str(scope.get("raw_path", b"").decode("latin-1"))
    target = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
    if target.startswith("/"):
        return target.partition("?")[0]
    try:
        return urlsplit(target).path
    except ValueError as error:
        raise MalformedName("path", _RULE) from error
