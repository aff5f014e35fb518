"""The ASGI callable of a gateway worker. It means nothing of its own: the plane decides, as it does for Flask."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import lru_cache
from string import punctuation
from typing import Any, Final
from urllib.parse import quote

from serving.exchange import CODINGS, Exchange, Head
from serving.http import Reply
from serving.lane.turn import Inbox, Turn
from serving.plane import Plane
from serving.targets import is_predict_path
from stagedoor.errors import BodyTooLarge, StagedoorError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 64 * 1024 * 1024
_TOO_LARGE: Final = 413


class ClientGoneError(Exception):
    """The caller hung up before the body was complete; nobody is left to answer."""


class Lane:
    """`draining` says whether this worker is on its way out: answers then ask for the connection to be closed."""

    def __init__(self, plane: Plane, everything_else: App, on_start: Callable[[], None], on_stop: Callable[[], None]) -> None:
        self.plane = plane
        self._everything_else = everything_else
        self._on_start = on_start
        self._on_stop = on_stop
        self._inbox: Inbox | None = None
        self.draining: Callable[[], bool] = lambda: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection scope."""
        if scope["type"] == "http":
            if scope["method"] == "POST" and is_predict_path(scope["raw_path"].decode("latin-1")):
                await self._predict(scope, receive, send)
            else:
                await self._elsewhere(_with_plain_query(scope), receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope["client"]
        head = head_of(
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            scope["headers"],
            client[0] if client else "",
        )
        said = await self.reply_to(head, receive)
        if said is None:
            return
        reply, complete = said
        headers = _encode(reply, close=not complete or self.draining())
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        if not complete:
            await linger(receive)

    async def reply_to(self, head: Head, receive: Receive) -> tuple[Reply, bool] | None:
        """The answer to a prediction, and whether its body was read to the end; None where nobody waits for one any more.

        `receive` gives the body as ASGI does.
        """
        loop = asyncio.get_running_loop()
        said: asyncio.Future[Reply] = loop.create_future()
        turn = Turn(self.plane, self.inbox(loop), head, lambda reply: None if said.done() else said.set_result(reply))
        complete = False
        try:
            if turn.admit():
                body = await _read(receive, self.plane.max_body_bytes)
                complete = True
                turn.answer(body)
            return await said, complete or said.result().status != _TOO_LARGE
        except BodyTooLarge as error:
            turn.refuse(error)
            return said.result(), False
        except ClientGoneError:
            return None
        except asyncio.CancelledError:
            turn.leave()
            raise

    def refusal(self, error: StagedoorError, remote: str) -> Reply:
        """The answer to what came as a request and is none; counted and logged as any other."""
        return self.plane.fail(Exchange(Head("", "", {}, frozenset(), remote)), error)

    def inbox(self, loop: asyncio.AbstractEventLoop) -> Inbox:
        """The one way from threads to `loop`."""
        if self._inbox is None or self._inbox.loop is not loop:
            self._inbox = Inbox(loop)
        return self._inbox

    async def _elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to Flask, and send its answer in one piece when Flask is done.

        gunicorn's worker forgets a request that arrives between the last byte of an answer and the end of the
        application's call, and Flask behind its adapter ends well after its last byte.
        """
        start: Message = {"type": "http.response.start", "status": 500, "headers": []}
        chunks: list[bytes] = []

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                chunks.append(message.get("body", b""))

        await self._everything_else(scope, receive, keep)
        if self.draining():
            start["headers"] = [*start["headers"], (b"connection", b"close")]
        await send(start)
        await send({"type": "http.response.body", "body": b"".join(chunks)})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._on_start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self._on_stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _with_plain_query(scope: Scope) -> Scope:
    """WSGI has queries in ASCII only; raw bytes beyond it, which the C parser lets through, are percent-encoded."""
    query: bytes = scope["query_string"]
    return scope if query.isascii() else {**scope, "query_string": quote(query, safe=punctuation).encode()}


@lru_cache(maxsize=4096)
def prediction_at(target: bytes) -> tuple[str, str] | None:
    """Path and query of a prediction's request target; None for any other."""
    path, _, query = target.decode("latin-1").partition("?")
    return (path, query) if is_predict_path(path) else None


def head_of(path: str, query: str, raw: Iterable[tuple[bytes, bytes]], remote: str) -> Head:
    """The head of a request, from headers as ASGI has them."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
    headers = dict(pairs)
    repeated: frozenset[str] = frozenset()
    if len(headers) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = frozenset(name for name in headers if names.count(name) > 1)
        headers = dict(reversed(pairs))
        if CODINGS in repeated:
            headers[CODINGS] = ", ".join(value for name, value in pairs if name == CODINGS)
    return Head(path, query, headers, repeated, remote)


async def _read(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises BodyTooLarge one byte past the limit, and ClientGoneError."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLarge(limit)
        return body
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()


async def linger(receive: Receive) -> None:
    """Throw away what is still being sent, for a moment: closing at once would reset the connection under the answer."""
    seen = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while seen < LINGER_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                seen += len(message.get("body", b""))
    except TimeoutError:
        return


def _encode(reply: Reply, *, close: bool) -> list[tuple[bytes, bytes]]:
    headers = [_encode_pair(name, value) for name, value in reply.headers[:-1]]
    name, value = reply.headers[-1]  # the request id: no other answer has it
    headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    headers.append((b"content-length", str(len(reply.body)).encode()))
    if close:
        headers.append((b"connection", b"close"))
    return headers


@lru_cache(maxsize=4096)
def _encode_pair(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1"), value.encode("latin-1")
