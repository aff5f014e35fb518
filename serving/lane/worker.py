"""The gateway's gunicorn worker: gunicorn's `asgi` worker with a protocol that answers predictions itself.

The same lane answers over plain ASGI under the stock worker (`-k asgi`).
"""

import socket
from typing import Any, Final

from gunicorn import sock
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

from serving.lane.asgi import Lane
from serving.lane.census import PLACES, Census, room
from serving.lane.pressure import Pressure
from serving.lane.protocol import LaneProtocol
from serving.lane.strict import Limits

WELCOMED_AT_ONCE: Final = 64
"""Connections taken up in one go, in which the others wait: some milliseconds. The callers of an overload come by the hundred,
and who has not been taken up cannot be refused either."""

CENSUS: Final = Census()
"""That of this gunicorn: its master imports this module before it forks."""

DRAIN_SECONDS: Final = 1.0
"""Time that an ending worker gives its connections to ask once more and be told to close."""

GOODBYE_SECONDS: Final = 5.0
"""Time that an ending worker gives a caller of TLS to read what is left and to close, too."""


class LaneWorker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker. It tells the lane when it is on its way out, and does not wait for connections that say nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  gunicorn's signature
        super().__init__(*args, **kwargs)
        self._heard = False
        self._tls: Any = None
        self._welcoming: set[Any] = set()
        self.connections: set[LaneProtocol] = set()
        self._place = self.age % PLACES
        cfg = self.cfg
        self.pressure: Pressure | None = None
        self.limits = Limits(cfg.limit_request_line, cfg.limit_request_fields, cfg.limit_request_field_size)

    def init_process(self) -> None:
        """Begin. gunicorn names its protocol class in the module, which is the only place to change it."""
        ASGIProtocol._check_h1c_protocol_available()  # noqa: SLF001  it keeps what it finds on the class it is called on
        gasgi.ASGIProtocol = LaneProtocol
        if self.cfg.is_ssl:  # where certificate or key are no good this ends the worker; gunicorn would go on without TLS
            self._tls = sock.ssl_context(self.cfg)
        super().init_process()

    def arrived(self, connection: LaneProtocol) -> None:
        """A connection was made. There may be more callers."""
        self.connections.add(connection)
        self._tell()
        self._welcome_more()

    def gone(self, connection: LaneProtocol) -> None:
        """A connection is no more."""
        self.connections.discard(connection)
        self._tell()

    def leave_census(self) -> None:
        """Count no more: this worker ends, or has ended."""
        CENSUS.leave(self._place)

    def _tell(self) -> None:
        if self.alive:
            CENSUS.say(self._place, len(self.connections))

    def load_wsgi(self) -> None:
        """Load the lane, and let it know its worker."""
        super().load_wsgi()
        if isinstance(self.asgi, Lane):
            self.asgi.draining = lambda: not self.alive
            self.asgi.plane.share_cores(self.cfg.workers)
            self.pressure = Pressure(self.loop, self.asgi.plane.queue_seconds)

    def notify(self) -> None:
        """The heartbeat; the first one comes when the servers have begun to listen."""
        super().notify()
        if not self._heard and self.servers:
            self._heard = True
            self._tell()
            for listener in self.sockets:
                listener.sock.listen(self.cfg.backlog)  # asyncio has made the queue short

    def _welcome_more(self) -> None:
        """Take up those who wait to be connected, as many as are this worker's part: libuv accepts one in each turn."""
        if not isinstance(self.asgi, Lane) or not self.alive:
            return
        for listener in self.sockets:
            for _ in range(self._places_free()):
                try:
                    caller, _ = listener.sock.accept()
                except OSError:  # nobody waits; or no more files may be opened, which libuv's own attempt sees to
                    break
                caller.setblocking(False)  # noqa: FBT003  the standard library's signature
                task = self.loop.create_task(self._connect(caller))
                self._welcoming.add(task)
                task.add_done_callback(self._welcoming.discard)

    def _places_free(self) -> int:
        """How many connections more may be asked for now; where turns take long already, the others' part does not matter."""
        most = WELCOMED_AT_ONCE - len(self._welcoming)
        if self.pressure is None or self.pressure.is_felt:
            return most
        return room(len(self.connections) + len(self._welcoming), CENSUS.others(self._place), most)

    async def _connect(self, caller: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: LaneProtocol(self), caller, ssl=self._tls)
        except OSError:  # gone again, or a TLS handshake that failed
            caller.close()

    def _get_ssl_context(self) -> Any:  # noqa: ANN401  an SSLContext, None without TLS
        return self._tls

    def handle_exit_signal(self) -> None:
        """SIGTERM: answers say `Connection: close` from now on; who stays silent is let go a moment later."""
        super().handle_exit_signal()
        self.leave_census()
        self.loop.call_later(DRAIN_SECONDS, self._let_go)

    def _let_go(self) -> None:
        for connection in tuple(self.connections):
            if connection.is_idle:
                connection._close_transport()  # noqa: SLF001  a part of this worker
                if self._tls is not None:  # asyncio waits half a minute for each caller's own goodbye
                    self.loop.call_later(GOODBYE_SECONDS, connection.transport.abort)
        self.loop.call_later(DRAIN_SECONDS, self._let_go)
