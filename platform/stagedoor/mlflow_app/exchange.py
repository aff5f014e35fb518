"""Small pieces of ASGI: reading a body and handing it on, cleaning a request, and telling whose page it came from."""

import asyncio
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from stagedoor.errors import BodyTooLarge
from stagedoor.mlflow_app.problems import SlowBody

COOKIE: Final = "stagedoor_session"
BODY_SECONDS: Final = 30.0
_OVERRIDES: Final = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises BodyTooLarge over `limit` bytes, SlowBody after half a minute or if the caller has left."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    # What came so far must not pass for the whole.
                    raise SlowBody
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > limit:
                    raise BodyTooLarge(limit)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError as error:
        raise SlowBody from error


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands over `body` first, then whatever comes."""
    pending: Iterator[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        return next(pending, None) or await receive()

    return again


class StatusSeen:
    """A `send` that remembers the status of the answer that passes through it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        """Pass on `message`."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def cleaned(scope: Scope) -> Scope:
    """The request as MLflow may see it: without our credentials, and without headers that claim another method."""
    kept = []
    for name, value in scope["headers"]:
        lower = name.lower()
        if lower == b"cookie":
            rest = [part for part in value.split(b";") if part.strip().partition(b"=")[0] != COOKIE.encode()]
            if rest:
                kept.append((name, b";".join(rest).strip()))
        elif lower != b"authorization" and lower not in _OVERRIDES:
            kept.append((name, value))
    return {**scope, "headers": kept}


def is_same_origin(headers: Headers) -> bool:
    """Whether a browser says that a page of this very server made the request (Fetch Metadata, else `Origin`)."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == headers.get("host")


def wants_page(method: str, headers: Headers) -> bool:
    """Whether a person's browser asks for a page, rather than a program or a page's script for data."""
    return method in {"GET", "HEAD"} and "text/html" in headers.get("accept", "")


def remote_of(scope: Scope) -> str:
    """The peer's address, empty where the server does not tell."""
    client = scope.get("client")
    return str(client[0]) if client else ""
