"""gunicorn's `asgi` worker, mended where keep-alive connections go wrong, and with a short way for predictions.

As of gunicorn 26.2 its protocol forgets what a client sends behind a request that is still being answered, never closes an
idle connection (it stops the timer before it waits), and waits for idle connections when it has to end. The three are
mended here by overriding the steps between two requests; parsing, limits and everything else are gunicorn's.

A prediction needs no ASGI scope and no two messages to be answered: the lane is handed its head, and its reply is written at
once. The same lane answers over plain ASGI under the stock worker (`-k asgi`).
"""

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

from serving.http import Headers, Reply
from serving.lane.asgi import Lane, head_of, linger
from serving.targets import is_predict_path

FIRST_REQUEST_SECONDS: Final = 10.0
"""Time allowed from connecting to the end of the first request's headers."""

DRAIN_SECONDS: Final = 1.0
"""Time that an ending worker gives its connections to ask once more and be told to close."""


def wire_form(version: tuple[int, int], reply: Reply, *, close: bool) -> bytes:
    """An answer as it goes over the wire."""
    first, last = reply.headers[:-1], reply.headers[-1]  # in a good answer the last one is the request id
    return b"".join(
        (
            _start(version, reply.status),
            _lines(first),
            f"{last[0]}: {last[1]}\r\ncontent-length: {len(reply.body)}\r\n".encode("latin-1"),
            _date(int(time.time())),
            b"connection: close\r\n\r\n" if close else b"\r\n",
            reply.body,
        )
    )


@lru_cache(maxsize=256)
def _start(version: tuple[int, int], status: int) -> bytes:
    return f"HTTP/{version[0]}.{version[1]} {status} {HTTPStatus(status).phrase}\r\n".encode()


@lru_cache(maxsize=4096)
def _lines(headers: Headers) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return f"date: {formatdate(second, usegmt=True)}\r\n".encode()


class LaneProtocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn has no types
    """One connection. `_early` holds what came behind the request in hand; reading rests meanwhile."""

    def __init__(self, worker: "LaneWorker") -> None:
        super().__init__(worker)
        self._early = b""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  asyncio's signature
        """Take the connection, and expect its first request soon."""
        super().connection_made(transport)
        self.worker.connections.add(self)
        self._keepalive_handle = self.worker.loop.call_later(FIRST_REQUEST_SECONDS, self._keepalive_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.worker.connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, but never past the end of the request in hand."""
        parser = self._callback_parser
        if parser is None:
            super().data_received(data)
            return
        if parser.is_complete:
            self._hold(data)
            return
        super().data_received(data)
        if parser.is_complete and not self._closed:
            if parser.remaining_truncated:
                self._close_transport()  # what is lost cannot be answered; an end is better than silence
            elif rest := parser.remaining():
                self._hold(rest)

    async def _handle_http_request(self, request: Any, sockname: Any, peername: Any) -> bool:  # noqa: ANN401  gunicorn's own
        """Answer one request; says whether the connection stays."""
        lane = self.worker.asgi
        if request.method == "POST" and isinstance(lane, Lane):
            path = request.raw_path.decode("latin-1")
            if is_predict_path(path):
                return await self._predict(lane, request, path, peername)
        stays: bool = await super()._handle_http_request(request, sockname, peername)
        return stays

    async def _predict(self, lane: Lane, request: Any, path: str, peername: Any) -> bool:  # noqa: ANN401  gunicorn's own
        receive = self._body_receiver.receive
        head = head_of(path, request.query or "", request.headers_bytes, peername[0] if peername else "")
        try:
            said = await lane.reply_to(head, receive)
        except asyncio.CancelledError:  # the caller hung up
            return False
        if said is None:
            return False
        reply, complete = said
        stays = bool(complete and self.worker.alive and self.cfg.keepalive and not request.should_close())
        self._safe_write(wire_form(request.version, reply, close=not stays))
        if self._flow_control.write_paused:
            await self._flow_control.drain()
        if not complete:
            await linger(receive)
        return stays

    def _hold(self, data: bytes) -> None:
        self._early += data
        self._pause_reading()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in hand."""
        return self._request_ready is not None and not self._request_ready.is_set()

    def _arm_keepalive_timer(self) -> None:
        """The last step between two requests: take up what came early."""
        super()._arm_keepalive_timer()
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def _cancel_keepalive_timer(self) -> None:
        if self._closed or not self.is_idle:
            super()._cancel_keepalive_timer()

    def _keepalive_timeout(self) -> None:
        if self.is_idle:
            super()._keepalive_timeout()


class LaneWorker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker. It tells the lane when it is on its way out, and does not wait for connections that say nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  gunicorn's signature
        super().__init__(*args, **kwargs)
        self.connections: set[LaneProtocol] = set()

    def init_process(self) -> None:
        """Begin. gunicorn names its protocol class in the module, which is the only place to change it."""
        ASGIProtocol._check_h1c_protocol_available()  # noqa: SLF001  it keeps what it finds on the class it is called on
        gasgi.ASGIProtocol = LaneProtocol
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the lane, and let it know its worker."""
        super().load_wsgi()
        if hasattr(self.asgi, "draining"):
            self.asgi.draining = lambda: not self.alive

    def handle_exit_signal(self) -> None:
        """SIGTERM: answers say `Connection: close` from now on; who stays silent is let go a moment later."""
        super().handle_exit_signal()
        self.loop.call_later(DRAIN_SECONDS, self._let_go)

    def _let_go(self) -> None:
        for connection in tuple(self.connections):
            if connection.is_idle:
                connection._close_transport()  # noqa: SLF001  a part of this worker
        self.loop.call_later(DRAIN_SECONDS, self._let_go)
