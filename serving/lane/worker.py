"""The gateway's gunicorn worker: gunicorn's `asgi` worker with a protocol that answers predictions itself.

The same lane answers over plain ASGI under the stock worker (`-k asgi`).
"""

from typing import Any, Final

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

from serving.lane.asgi import Lane
from serving.lane.pressure import Pressure
from serving.lane.protocol import LaneProtocol
from serving.lane.strict import Limits
from serving.lane.turn import Inbox

WELCOMED_AT_ONCE: Final = 2
"""Connections taken up in one turn of the loop. With many more, the worker that wakes first would take all of a few callers."""

DRAIN_SECONDS: Final = 1.0
"""Time that an ending worker gives its connections to ask once more and be told to close."""


class LaneWorker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker. It tells the lane when it is on its way out, and does not wait for connections that say nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  gunicorn's signature
        super().__init__(*args, **kwargs)
        self._heard = False
        self._welcoming: Any = None
        self.connections: set[LaneProtocol] = set()
        cfg = self.cfg
        self.inbox: Inbox | None = None
        self.pressure: Pressure | None = None
        self.limits = Limits(cfg.limit_request_line, cfg.limit_request_fields, cfg.limit_request_field_size)

    def init_process(self) -> None:
        """Begin. gunicorn names its protocol class in the module, which is the only place to change it."""
        ASGIProtocol._check_h1c_protocol_available()  # noqa: SLF001  it keeps what it finds on the class it is called on
        gasgi.ASGIProtocol = LaneProtocol
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the lane, and let it know its worker."""
        super().load_wsgi()
        self.inbox = Inbox(self.loop)
        if isinstance(self.asgi, Lane):
            self.asgi.draining = lambda: not self.alive
            self.pressure = Pressure(self.loop, self.asgi.plane.queue_seconds)

    def notify(self) -> None:
        """The heartbeat; the first one comes when the servers have begun to listen."""
        super().notify()
        if not self._heard and self.servers:
            self._heard = True
            self._welcoming = self.loop.create_task(self._welcome())

    async def _welcome(self) -> None:
        """Take up many callers at once: asyncio's own queue is short, and libuv takes one of it in each turn of the loop.

        Each further server on the same socket takes one more.
        """
        context = self._get_ssl_context()
        for listener in self.sockets:
            for _ in range(WELCOMED_AT_ONCE - 1):
                again = listener.sock.dup()
                self.servers.append(await self.loop.create_server(lambda: LaneProtocol(self), sock=again, ssl=context))
            listener.sock.listen(self.cfg.backlog)

    def handle_exit_signal(self) -> None:
        """SIGTERM: answers say `Connection: close` from now on; who stays silent is let go a moment later."""
        super().handle_exit_signal()
        self.loop.call_later(DRAIN_SECONDS, self._let_go)

    def _let_go(self) -> None:
        for connection in tuple(self.connections):
            if connection.is_idle:
                connection._close_transport()  # noqa: SLF001  a part of this worker
        self.loop.call_later(DRAIN_SECONDS, self._let_go)
