"""gunicorn's `asgi` worker, mended where keep-alive connections go wrong.

As of gunicorn 26.2 its protocol forgets what a client sends behind a request that is still being answered, never closes an
idle connection (it stops the timer before it waits), and waits for idle connections when it has to end. The three are
mended here by overriding the steps between two requests; parsing, limits and everything else are gunicorn's.
"""

from typing import Any, Final

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

FIRST_REQUEST_SECONDS: Final = 10.0
"""Time allowed from connecting to the end of the first request's headers."""

DRAIN_SECONDS: Final = 1.0
"""Time that an ending worker gives its connections to ask once more and be told to close."""


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
