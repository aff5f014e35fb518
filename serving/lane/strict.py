"""The head of an HTTP/1 request, read by gunicorn's C parser and then held to RFC 9112 where that parser is lax.

Whoever stands in front of the gateway (a proxy, a cache, a firewall) must see the same requests in the same bytes as the
gateway does; wherever two readers could differ, the request is refused. The parser (gunicorn_h1c 0.6.9) vouches for tokens
in names, for values without control characters, for the version, for one Content-Length of digits, and for known encodings.
It also takes lines that end in LF alone, folded lines, several spaces in the request line and an empty line before it, any
Host or none, lengths beyond 64 bits, and encodings other than chunked. A sound head needs no second pass over its lines:
that each CR belongs to a line the parser counted proves the line ends, and the length of the first line proves its spaces.

On purpose stricter than the RFC: the empty line that may stand before a request, targets in absolute form (which only a
proxy needs), `OPTIONS *`, and methods of other characters than capital letters are refused.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

from gunicorn_h1c import LimitRequestHeaders, LimitRequestLine, parse_request_fast
from gunicorn_h1c._parser_fast import IncompleteError  # not the class of that name which the package shows

from stagedoor.errors import HeadTooLarge, TargetTooLong
from stagedoor.problems import MalformedRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a head may be: bytes of the request line, number of headers, bytes of one header and of the whole head."""

    line: int = 4094
    fields: int = 100
    field: int = 16_380
    head: int = 65_536


class ParsedHead(Protocol):
    """What the C parser says of a head; `asgi_headers` have names in lower case, `consumed` is where the body begins."""

    method: bytes
    path: bytes
    minor_version: int
    headers: tuple[tuple[bytes, bytes], ...]
    asgi_headers: list[tuple[bytes, bytes]]
    consumed: int
    header_count: int
    content_length: int
    has_chunked: bool
    connection_close: int

    def get_header(self, name: str, /) -> bytes | None:
        """The first value under a name in any case."""


_AROUND_THE_TARGET: Final = len(b"  HTTP/1.1")
_MOST_LENGTH_DIGITS: Final = 15
_USUAL: Final = Limits()
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_BLANKS: Final = b" \t"


def read_head(data: bytes, limits: Limits = _USUAL) -> ParsedHead | None:
    """The head at the beginning of `data`; None where more bytes are needed to tell.

    Raises MalformedRequest, TargetTooLong and HeadTooLarge, as early as the bytes show it. After any of them the
    connection must be closed: nobody knows where the next request would begin.
    """
    try:
        request: Any = parse_request_fast(data, 0, limits.line, limits.fields, limits.field)
    except IncompleteError:
        _refuse_beginning(data, limits)
        return None
    except LimitRequestLine as error:
        raise TargetTooLong(limits.line) from error
    except LimitRequestHeaders as error:
        raise _too_large(data, limits) from error
    except ValueError as error:  # the parser has two classes ParseError; this is the base of both
        raise _refusal(data, limits) from error
    end = request.consumed
    if (
        data.find(b"\r") != len(request.method) + len(request.path) + _AROUND_THE_TARGET
        or data.count(b"\r", 0, end) != request.header_count + 2
        or request.get_header("") is not None  # a folded line: the parser gives it no name
    ):
        raise _refusal(data[:end], limits)
    if end > limits.head:
        raise HeadTooLarge(limits.head)
    _check_target(request)
    _check_framing(request)
    return request  # type: ignore[no-any-return]


def _check_target(request: ParsedHead) -> None:
    if not request.method.isalpha():
        raise MalformedRequest("The method must be a word of capital letters, such as POST.")
    if not request.path.startswith(b"/"):
        raise MalformedRequest("The request line names no path. Write `POST /predict HTTP/1.1`, the path first and no host.")
    host = request.get_header("host")
    if host is None:
        if request.minor_version:
            raise MalformedRequest("The Host header is missing, which HTTP/1.1 requires.")
    elif not _is_host(host):
        raise MalformedRequest("The Host header is not a host name with an optional port.")


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _check_framing(request: ParsedHead) -> None:
    """RFC 9112, section 6.3: the length of a body, said once and in one way."""
    encoding = request.get_header("transfer-encoding")
    length = request.get_header("content-length")
    if encoding is None:
        if length is not None and len(length) > _MOST_LENGTH_DIGITS:
            raise MalformedRequest("Content-Length has too many digits.")
        return
    if length is not None:
        raise MalformedRequest("Send Content-Length or Transfer-Encoding, not both.")
    if encoding.lower() != b"chunked" or sum(name == b"transfer-encoding" for name, _ in request.asgi_headers) > 1:
        raise MalformedRequest("Transfer-Encoding must be `chunked`, once. A compressed body is named by Content-Encoding.")
    if not request.minor_version:
        raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding. Send Content-Length.")


def _refuse_beginning(data: bytes, limits: Limits) -> None:
    """Raise what is already certain of a head whose end has not come."""
    if len(data) > limits.head:
        raise HeadTooLarge(limits.head)
    if len(data) > limits.line and data.find(b"\n", 0, limits.line + 2) < 0:
        raise TargetTooLong(limits.line)
    lines = data.count(b"\n")
    if data.startswith((b"\r", b"\n")) or lines != data.count(b"\r\n"):
        raise _refusal(data, limits)
    if lines > limits.fields + 1:
        raise HeadTooLarge(limits.fields, "headers")


def _too_large(data: bytes, limits: Limits) -> HeadTooLarge:
    if data[: data.find(b"\r\n\r\n")].count(b"\r\n") > limits.fields:
        return HeadTooLarge(limits.fields, "headers")
    return HeadTooLarge(limits.field)


def _refusal(data: bytes, limits: Limits) -> Exception:
    """Why `data` is no head, as the error to raise. Only asked of what has been refused already."""
    head = data[: data.find(b"\r\n\r\n") + 2] if b"\r\n\r\n" in data else data
    line, *rest = head.split(b"\r\n")
    names = [field.partition(b":")[0] for field in rest if field]
    if data.startswith((b"\r", b"\n")):
        why = "The request begins with an empty line. Begin with `METHOD /path HTTP/1.1`."
    elif b"\n" in head.replace(b"\r\n", b""):
        why = "A line of the head does not end in CR LF."
    elif len(names) > limits.fields:
        return HeadTooLarge(limits.fields, "headers")
    elif line.count(b" ") != 2 or not line.endswith((b" HTTP/1.0", b" HTTP/1.1")):  # noqa: PLR2004  method, target, version
        why = "The request line must read `METHOD /path HTTP/1.1`, with one space between its parts."
    elif any(field.startswith((b" ", b"\t")) for field in rest):
        why = "A header is folded over several lines. Write each header on one line."
    elif any(name.rstrip(_BLANKS) != name or not name for name in names) or any(b":" not in field for field in rest if field):
        why = "A header must read `Name: value`, with no space before the colon."
    else:
        why = "The head holds characters that HTTP does not allow there, or headers that contradict each other."
    return MalformedRequest(why)
