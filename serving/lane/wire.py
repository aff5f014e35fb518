"""An answer as it goes over an HTTP/1 connection: one piece of bytes, most of it made before."""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from serving.http import Headers, Reply


def wire_form(minor_version: int, reply: Reply, *, close: bool) -> bytes:
    """Status line, headers and body of `reply` to a request of HTTP/1.`minor_version`."""
    status, headers, body = reply
    last, request_id = headers[-1]  # no other answer has it
    return b"%b%b%b: %b\r\ncontent-length: %d\r\n%b%b%b" % (
        _start(minor_version, status),
        _lines(headers[:-1]),
        last.encode(),
        request_id.encode("latin-1"),
        len(body),
        _date(int(time.time())),
        b"connection: close\r\n\r\n" if close else b"\r\n",
        body,
    )


@lru_cache(maxsize=256)
def _start(minor_version: int, status: int) -> bytes:
    return f"HTTP/1.{minor_version} {status} {HTTPStatus(status).phrase}\r\n".encode()


@lru_cache(maxsize=4096)
def _lines(headers: Headers) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return f"date: {formatdate(second, usegmt=True)}\r\n".encode()
