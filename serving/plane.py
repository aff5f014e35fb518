"""The one way a prediction goes, whatever carries it: admit, read, decode, run, answer.

The lane calls the steps, so that it can wait in between; `Plane.predict` does them in a row for everybody else.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from itertools import count
from threading import BoundedSemaphore
from typing import Final, NamedTuple, Protocol, TypeVar

from serving import blame, metrics
from serving.codecs import CODECS, Answer, Decoded, Wire
from serving.http import Reply, Request
from serving.loading.version import Version
from serving.pool import Pool
from serving.problems import reply_for
from serving.recorder import Record, Recorder
from serving.routing import Choice, choose
from serving.targets import Target, parse_target
from serving.trace import request_id_from, trace_id_from
from serving.values import Outputs
from stagedoor import names
from stagedoor.auth import Principal, check_predict
from stagedoor.errors import (
    BodyTooLarge,
    InvalidOutput,
    MalformedHeader,
    ModelFailed,
    Overloaded,
    PredictionTimeout,
    StagedoorError,
)
from stagedoor.settings import Settings

T = TypeVar("T")

INLINE_BODY_BYTES: Final = 16_384
"""Larger bodies are decoded in a thread, so that one caller's batch never holds up the event loop."""


class Authenticates(Protocol):
    """What the plane needs of stagedoor.auth.Authenticator."""

    def authenticate(self, authorization: str | None, *, now: float, remote: str = "") -> Principal:
        """Who sent this header."""


class Head(NamedTuple):
    """A request without its body. Header names are in lower case; `repeated` holds those sent more than once."""

    path: str
    query: str
    headers: Mapping[str, str]
    repeated: frozenset[str] = frozenset()
    remote: str = ""

    @classmethod
    def of(cls, request: Request) -> "Head":
        """The head of a whole request."""
        seen: dict[str, str] = {}
        repeated = set()
        for name, value in request.headers:
            if name in seen:
                repeated.add(name)
            seen.setdefault(name, value)
        return cls(request.path, request.query, seen, frozenset(repeated), request.remote)


@dataclass(slots=True)
class Exchange:
    """One request on its way. Each step of the plane fills in what it found out."""

    head: Head
    started: float = field(default_factory=time.perf_counter)
    at: float = field(default_factory=time.time)
    request_id: str = ""
    target: Target | None = None
    principal: Principal | None = None
    choice: Choice | None = None
    version: Version | None = None
    decoded: Decoded | None = None


class Plane:
    """Answers predictions from the pool's current view. Safe to call from any number of threads."""

    def __init__(self, settings: Settings, authenticator: Authenticates, pool: Pool, recorder: Recorder) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._pool = pool
        self._recorder = recorder
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="predict")
        self._room = BoundedSemaphore(settings.threads + settings.queue_limit)
        self._draws = count(time.time_ns())

    # --- the steps ----------------------------------------------------------------------------------------------------

    def admit(self, exchange: Exchange) -> None:
        """Decide from the head alone who asks for what and which version is to answer. Raises Rejected and Unserved."""
        head = exchange.head
        if head.repeated:
            _refuse_repeated(head.repeated)
        exchange.request_id = request_id_from(head.headers)
        principal = self._authenticator.authenticate(head.headers.get("authorization"), now=exchange.at, remote=head.remote)
        exchange.principal = principal
        target = parse_target(head.path, head.query, self._settings.default_model)
        exchange.target = target
        check_predict(principal, target.ref)
        choice = choose(self._pool.view, target.ref, head.headers, principal.claims, next(self._draws))
        exchange.choice = choice
        exchange.version = choice.loaded
        _check_length(head.headers.get("content-length"), self._settings.max_body_bytes)

    def load(self, exchange: Exchange) -> None:
        """Wait for a version that is not in memory yet. Blocks; raises ModelNotFound, VersionNotReady, VersionRefused."""
        choice = exchange.choice
        assert choice is not None  # noqa: S101  admit comes first
        exchange.version = self._pool.load(choice.model, choice.version, self._settings.load_wait_seconds)

    def answer(self, exchange: Exchange, body: bytes) -> Reply:
        """Decode, predict, check and encode. Raises Rejected and Unserved."""
        version, choice, target = exchange.version, exchange.choice, exchange.target
        assert version is not None and choice is not None and target is not None  # noqa: PT018, S101  admit comes first
        codec = CODECS[target.codec]
        headers = exchange.head.headers
        decoded = codec.decode(Wire(body, headers.get("content-type", ""), headers), version.signature, self._settings.max_rows)
        exchange.decoded = decoded
        metrics.assigned(choice.model, version.version, choice.arm)
        outputs = _run(version, decoded)
        elapsed_ms = (time.perf_counter() - exchange.started) * 1000
        answer = Answer(choice.model, version.version, exchange.request_id, elapsed_ms)
        try:
            encoded = codec.encode(outputs, decoded, version.signature, answer)
        except (TypeError, ValueError) as error:
            raise InvalidOutput("it cannot be written in this protocol") from error
        self._record(exchange, 200, "ok", None, None)
        headers_out = (
            ("Content-Type", encoded.content_type),
            *encoded.headers,
            *choice.headers,
            (names.HEADER_REQUEST_ID, exchange.request_id),
        )
        return Reply(200, headers_out, encoded.body)

    def fail(self, exchange: Exchange, error: Exception) -> Reply:
        """The answer to a request that any of the steps refused or failed."""
        target = exchange.target
        request_id = exchange.request_id or request_id_from({})
        exchange.request_id = request_id
        open_inference = target.is_open_inference if target else exchange.head.path.startswith("/v2/")
        reply = reply_for(error, request_id, open_inference=open_inference)
        self._record(exchange, reply.status, blame.outcome_of(error), blame.code_of(error), blame.cause_of(error))
        if exchange.choice is not None and exchange.version is not None:
            return Reply(reply.status, (*reply.headers, *exchange.choice.headers), reply.body)
        return reply

    # --- where the work is done ---------------------------------------------------------------------------------------

    def is_quick(self, exchange: Exchange, body: bytes) -> bool:
        """Whether `answer` costs less than handing it to a thread."""
        return exchange.version is not None and exchange.version.quick and len(body) <= INLINE_BODY_BYTES

    def submit(self, work: Callable[..., T], *args: object) -> "Future[T]":
        """Run `work` in one of the plane's threads. Raises Overloaded where too many wait already."""
        if not self._room.acquire(blocking=False):
            raise Overloaded
        future = self._threads.submit(work, *args)
        future.add_done_callback(lambda _: self._room.release())
        return future

    @property
    def timeout(self) -> float:
        """Seconds a prediction may take."""
        return self._settings.predict_timeout_seconds

    @property
    def max_body_bytes(self) -> int:
        """Bytes a body may have."""
        return self._settings.max_body_bytes

    def predict(self, request: Request) -> Reply:
        """All steps in a row, blocking. Never raises."""
        exchange = Exchange(Head.of(request))
        try:
            self.admit(exchange)
            if len(request.body) > self._settings.max_body_bytes:
                raise BodyTooLarge(self._settings.max_body_bytes)  # noqa: TRY301  one way out for all failures
            if exchange.version is None:
                self.load(exchange)
            if self.is_quick(exchange, request.body):
                return self.answer(exchange, request.body)
            return self._in_thread(exchange, request.body)
        except Exception as error:  # noqa: BLE001  the gateway's last handler: a caller always gets an answer
            return self.fail(exchange, error)

    def _in_thread(self, exchange: Exchange, body: bytes) -> Reply:
        future = self.submit(self.answer, exchange, body)
        try:
            return future.result(self.timeout)
        except FutureTimeout as error:
            if future.done():
                raise
            raise PredictionTimeout(self.timeout) from error

    def close(self) -> None:
        """Let running predictions end and take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    # --- bookkeeping --------------------------------------------------------------------------------------------------

    def _record(self, exchange: Exchange, status: int, outcome: str, code: str | None, cause: str | None) -> None:
        # A name that never led to a version is the caller's invention: it must not become a label.
        choice = exchange.choice if exchange.version is not None else None
        decoded = exchange.decoded
        self._recorder.add(
            Record(
                request_id=exchange.request_id,
                at=exchange.at,
                status=status,
                seconds=time.perf_counter() - exchange.started,
                outcome=outcome,
                code=code,
                choice=choice,
                subject=exchange.principal.subject if exchange.principal else None,
                protocol=exchange.target.codec if exchange.target else None,
                rows=decoded.inputs.rows if decoded else None,
                trace_id=trace_id_from(exchange.head.headers.get("traceparent")),
                cause=cause,
            )
        )


def _run(version: Version, decoded: Decoded) -> Outputs:
    try:
        outputs = version.predictor.predict(decoded.inputs)
    except StagedoorError:
        raise
    except Exception as error:  # a model may raise anything; whatever it is, it is the model's doing
        raise ModelFailed from error
    version.signature.check_outputs(outputs, decoded.inputs.rows)
    return outputs


def _refuse_repeated(repeated: frozenset[str]) -> None:
    for name in ("authorization", "x-request-id", "content-type", "content-length"):
        if name in repeated:
            raise MalformedHeader(name.title(), "send it once")


def _check_length(text: str | None, limit: int) -> None:
    if text is not None and text.isdecimal() and int(text) > limit:
        raise BodyTooLarge(limit)
