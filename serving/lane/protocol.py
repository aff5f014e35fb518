"""One connection of the gateway: predictions are answered straight from the parser, everything else is gunicorn's.

Bytes come here first. A head is read strictly; a prediction is admitted from it and answered when its body is complete,
without an ASGI scope, a task or a message: most answers are written before the call that brought the bytes returns. Any other
request is handed on to gunicorn's protocol, whole, as it came and not a byte beyond its end, and the next one waits until that
is answered.

As of gunicorn 26.2 its own protocol forgets what a client sends behind a request that is still being answered, never closes an
idle connection, sets no limit in time to a head or a body, and reads chunks laxly. None of it is left to it here.
"""

from typing import Any, Final

from serving.http import Reply
from serving.lane.asgi import Lane, head_of, prediction_at
from serving.lane.deadline import Deadline
from serving.lane.farewell import UNREAD_SECONDS, Farewell, close_in_time
from serving.lane.framing import Framing, Known, framing_of
from serving.lane.gathering import BYTES_PER_SECOND, Gathering
from serving.lane.patient import PatientProtocol
from serving.lane.pressure import LEAST_REQUESTS, Pressure
from serving.lane.strict import Limits, ParsedHead, read_head
from serving.lane.turn import Turn
from serving.lane.wire import wire_form
from stagedoor.errors import BodyTooLarge, RequestTooSlow, StagedoorError

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class LaneProtocol(PatientProtocol):
    """The states of a connection: idle (`_early` may hold the beginning of a head), a body on its way, an answer due.

    `_turn` is the prediction in hand, `_theirs` says that gunicorn has the request in hand; `_body` reads what is on its way.
    """

    def __init__(self, worker: Any) -> None:  # noqa: ANN401  a LaneWorker
        self._lane: Lane | None = worker.asgi if isinstance(worker.asgi, Lane) else None
        super().__init__(worker, is_patient=self._lane is not None)
        self._loop = worker.loop
        self._limits: Limits = worker.limits
        plane = self._lane.plane if self._lane is not None else None
        self._read_seconds, self._max_body_bytes = (plane.read_seconds, plane.max_body_bytes) if plane is not None else (0.0, 0)
        self._remote = ""
        self._early = b""
        self._body: Gathering | None = None
        self._keepalive: float = self.cfg.keepalive
        self._pressure: Pressure | None = worker.pressure
        self._turn: Turn | None = None
        self._theirs = self._taking = self._head_begun = False
        self._minor, self._stays = 1, True
        self._known: Known | None = None
        self._farewell: Farewell | None = None
        self._deadline = Deadline(worker.loop, self._too_late)

    # --- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  asyncio's signature
        """Take the connection, and expect its first request soon."""
        super().connection_made(transport)
        if transport.get_extra_info("sslcontext") is None:
            transport.set_write_buffer_limits(high=0)  # uvloop writes at once then, not in another turn of its loop
        peername = transport.get_extra_info("peername")
        self._remote = peername[0] if isinstance(peername, tuple) else ""
        self.worker.arrived(self)
        if self._lane is not None:
            self._deadline.set(self._read_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; what is being predicted for it is counted all the same."""
        self.worker.gone(self)
        self._deadline.clear()
        if self._turn is not None:
            self._turn.leave()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """The caller reads again."""
        super().resume_writing()
        if self.is_idle and not self._taking:
            self._take_up()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in hand."""
        return self._turn is None and not self._theirs and self._body is None

    # --- what comes in ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of the caller."""
        if not self.is_http1:
            super().data_received(data)  # another application, HTTP/2 or a web socket
        elif self._farewell is not None:
            self._farewell.throw_away(data)
        elif self._body is not None:
            rest = self._feed(data)
            if rest:
                (self._take if self.is_idle else self._hold)(rest)
        elif self._turn is not None or self._theirs:
            self._hold(data)
        elif self._early and b"\n" not in data and len(self._early) <= self._limits.head:
            self._early += data  # no head ends here; looking at its beginning again and again would cost its square
        else:
            self._take(self._early + data if self._early else data)

    def _take(self, data: bytes) -> None:
        """Begin with requests, and go on for as long as they are answered at once."""
        self._early = b""
        self._taking = True
        while data and self._farewell is None and not self._closed:
            if self._flow_control.write_paused:
                self._hold(data)  # the caller does not read its answers
                break
            known = self._known
            data = (self._predict(known, data) if known and data.startswith(known.raw) else self._meet(data)) or b""
            if data and not self.is_idle:
                self._hold(data)
                break
        self._taking = False

    def _meet(self, data: bytes) -> bytes | None:
        """Begin with a request whose head is a new one; the bytes behind it, None where more have to come, or none will."""
        try:
            head = read_head(data, self._limits)
        except StagedoorError as error:
            self._refuse(error)
            return None
        if head is None:
            if not self._head_begun:  # a head that comes byte by byte gets no more time by it
                self._deadline.set(self._read_seconds)
            self._head_begun, self._early = True, data
            return None
        target = prediction_at(head.path) if head.method == b"POST" else None
        if target is None:
            return self._pass_on(head, data)
        told = head_of(*target, head.asgi_headers, self._remote)
        self._known = Known(data[: head.consumed], told, framing_of(head))
        return self._predict(self._known, data)

    def _predict(self, known: Known, data: bytes) -> bytes | None:
        """Answer a prediction, or begin to; the bytes behind it, None where its body is still to come."""
        worker, pressure = self.worker, self._pressure
        raw, told, framing = known
        length, has_chunked, self._minor, self._stays, _ = framing
        begin = len(raw)
        # With few callers there is no overload to look for.
        if pressure is not None and len(worker.connections) > LEAST_REQUESTS and pressure.refuses(self._loop.time()):
            return self._turn_away(framing, data, begin)
        turn = self._turn = Turn(worker.asgi.plane, worker.asgi.inbox(self._loop), told, self._answer)
        if not has_chunked and len(data) - begin >= length:
            end = begin + max(length, 0)
            if turn.admit():
                turn.answer(data[begin:end])
            return data[end:]
        self._body = Gathering(framing, self._max_body_bytes)
        if not turn.admit():
            return None
        return self._begin_body(framing, data[begin:])

    def _turn_away(self, framing: Framing, data: bytes, begin: int) -> bytes | None:
        """Refuse a prediction at the least cost, so that those accepted are in time."""
        assert self._lane is not None  # noqa: S101  data_received asks
        end = begin + max(framing.content_length, 0)
        if framing.has_chunked or len(data) < end:
            self._body = Gathering(framing, 0)  # not read: the farewell will
        self._answer(self._lane.plane.turn_away())
        return data[end:] if self._body is None else None

    def _pass_on(self, head: ParsedHead, data: bytes) -> bytes | None:
        """Give gunicorn a request once it is whole; the bytes behind it, None where its body is still to come."""
        begin, length = head.consumed, max(head.content_length, 0)
        if not head.has_chunked and length <= self._max_body_bytes and len(data) - begin >= length:
            self._hand_to_gunicorn(data[: begin + length])
            return data[begin + length :]
        framing = framing_of(head)
        self._body = Gathering(framing, self._max_body_bytes, data[:begin])
        return self._begin_body(framing, data[begin:])

    def _begin_body(self, framing: Framing, data: bytes) -> bytes | None:
        """Expect a body; the bytes behind it, None where it goes on."""
        if framing.content_length > self._max_body_bytes:
            self._give_up(BodyTooLarge(self._max_body_bytes))
            return None
        if framing.expects:
            self._safe_write(_CONTINUE)
        self._deadline.set(self._read_seconds)
        return self._feed(data) if data else None

    def _feed(self, data: bytes) -> bytes | None:
        """Take bytes of a body that is on its way; those behind its end, None where it goes on or is given up."""
        body = self._body
        assert body is not None  # noqa: S101  who calls has asked
        self._deadline.extend(len(data) / BYTES_PER_SECOND)
        try:
            rest = body.feed(data)
        except StagedoorError as error:
            self._give_up(error)
            return None
        if rest is not None:
            self._body = None
            if self._turn is not None:
                self._turn.answer(body.whole())
            else:
                self._hand_to_gunicorn(body.whole())
        return rest

    def _hand_to_gunicorn(self, request: bytes) -> None:
        self._theirs = True
        self._deadline.set(UNREAD_SECONDS)
        self.begin_with(request)

    def _hold(self, data: bytes) -> None:
        """Keep what came too early; reading rests meanwhile."""
        self._early += data
        self._pause_reading()

    # --- what goes out ------------------------------------------------------------------------------------------------

    def _answer(self, reply: Reply) -> None:
        """The turn in hand is over."""
        self._turn = None
        if self._closed or self._farewell is not None:
            return
        worker = self.worker
        worker.nr += 1
        if worker.nr >= worker.max_requests and worker.alive:
            self.log.info("Autorestarting worker after current request.")
            worker.alive = False
        stays = self._stays and self._body is None and worker.alive and self._keepalive
        self._safe_write(wire_form(self._minor, reply, close=not stays))
        if not stays:
            self._end(clean=self._body is None)
            return
        self._head_begun = False
        self._deadline.set(self._keepalive)
        if not self._taking:
            self._take_up()

    def _take_up(self) -> None:
        """Between two requests: go on with what came early."""
        early, self._early = self._early, b""
        if early and not self._flow_control.write_paused:
            self._take(early)
        else:
            self._early = early
        if not self._early or (self.is_idle and not self._flow_control.write_paused):
            self._resume_reading()

    def _arm_keepalive_timer(self) -> None:
        """Gunicorn's last step between two requests of its own: it is done with the one it had."""
        if self._lane is None:
            super()._arm_keepalive_timer()
            return
        self._theirs = self._head_begun = False
        self._deadline.set(self._keepalive)
        self._take_up()

    def _refuse(self, error: StagedoorError) -> None:
        """Answer what is no request, and close: nobody knows where the next one would begin."""
        assert self._lane is not None  # noqa: S101  data_received asks
        self._safe_write(wire_form(1, self._lane.refusal(error, self._remote), close=True))
        self._end(clean=False)

    def _give_up(self, error: StagedoorError) -> None:
        """The body on its way will not be read to its end."""
        turn = self._turn
        if turn is not None:
            turn.refuse(error)  # `_body` is still there, so that the connection ends
        else:
            self._refuse(error)

    def _end(self, *, clean: bool) -> None:
        """Close, with a farewell unless all that was sent has been read."""
        self._early = b""
        if clean:
            close_in_time(self._loop, self.transport, self._close_transport)
        else:
            self._resume_reading()
            self._farewell = Farewell(self._loop, self.transport, self._close_transport)

    def _too_late(self) -> None:
        if self._closed or self._farewell is not None:
            return
        if self._body is not None:
            self._give_up(RequestTooSlow())
        elif self._theirs and self._flow_control.write_paused:
            self.transport.abort()  # what gunicorn answered is not read
        elif not self.is_idle or not self.is_http1:
            self._deadline.set(1.0)  # an answer is due; the plane has its own limit for it
        elif self._early and not self._flow_control.write_paused:
            self._refuse(RequestTooSlow())
        else:
            self._end(clean=True)

    def _cancel_keepalive_timer(self) -> None:
        """Gunicorn's own timer serves other applications only."""
        if self._lane is None:
            super()._cancel_keepalive_timer()
