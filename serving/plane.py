"""The one way a prediction goes, whatever carries it: admit, read, decode, run, answer.

The lane calls the steps, so that it can wait in between; `Plane.predict` does them in a row for everybody else.
"""

import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from itertools import count
from typing import Final, Protocol

from serving.books import Books
from serving.codecs import CODECS, Answer, Wire
from serving.exchange import Attempt, Exchange, Head, Shielded
from serving.http import Headers, Reply, Request
from serving.pool import Pool
from serving.problems import reply_for
from serving.rooms import Room
from serving.routing import Asker, choose
from serving.running import run
from serving.shadow import Copy, Shadow
from serving.targets import parse_target
from serving.trace import request_id_from
from stagedoor import names
from stagedoor.auth import Principal, check_predict
from stagedoor.errors import (
    BodyTooLarge,
    InvalidOutput,
    MalformedHeader,
    Overloaded,
    PredictionTimeout,
    StagedoorError,
    VersionNotReady,
)
from stagedoor.settings import Settings

INLINE_BODY_BYTES: Final = 16_384
"""Larger bodies are decoded in a thread, so that one caller's batch never holds up the event loop."""

GRACE_SECONDS: Final = 1.0
"""For an answer that is done when patience ends, and has yet to be put into words."""


class Authenticates(Protocol):
    """What the plane needs of stagedoor.auth.Authenticator."""

    def authenticate(self, authorization: str | None, *, now: float, remote: str = "") -> Principal:
        """Who sent this header."""


class Plane:
    """Answers predictions from the pool's current view. Safe to call from any number of threads."""

    def __init__(self, settings: Settings, authenticator: Authenticates, pool: Pool, books: Books, shadow: Shadow) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._pool = pool
        self._books = books
        self._shadow = shadow
        self._room = Room(settings.threads, settings.queue_limit, "predict")
        # Of their own, and with a short queue: versions on trial that hang take no thread from the stable ones.
        self._trial_room = Room(settings.threads, settings.threads, "trial")
        self._draws = count(time.time_ns())

    # --- the steps ----------------------------------------------------------------------------------------------------

    def admit(self, exchange: Exchange) -> Attempt:
        """Decide from the head alone who asks for what, and which version is to try. Raises Rejected and Unserved."""
        head = exchange.head
        if head.repeated:
            _refuse_repeated(head.repeated)
        exchange.request_id = request_id_from(head.headers)
        principal = self._authenticator.authenticate(head.headers.get("authorization"), now=exchange.at, remote=head.remote)
        exchange.principal = principal
        target = parse_target(head.path, head.query, self._settings.default_model)
        exchange.target = target
        check_predict(principal, target.ref)
        asker = Asker(head.headers, principal.claims, next(self._draws), exchange.at)
        attempt = exchange.attempt = Attempt(choose(self._pool.view, target.ref, asker))
        _check_length(head.headers.get("content-length"), self._settings.max_body_bytes)
        return attempt

    def load(self, attempt: Attempt) -> None:
        """Wait for a version that is not in memory yet, unless another stands by to answer.

        Blocks; raises ModelNotFound, VersionNotReady, VersionRefused.
        """
        choice = attempt.choice
        if attempt.fallback is not None:
            raise VersionNotReady(f"{choice.model}/{choice.version}")
        attempt.version = self._pool.load(choice.model, choice.version, self._settings.load_wait_seconds)

    def answer(self, exchange: Exchange, attempt: Attempt, body: bytes) -> Reply:
        """Decode, predict, check and encode. Raises Rejected and Unserved."""
        version, choice, target = attempt.version, attempt.choice, exchange.target
        assert version is not None and target is not None  # noqa: PT018, S101  admit and load come first
        attempt.began = time.perf_counter()
        codec = CODECS[target.codec]
        headers = exchange.head.headers
        wire = Wire(body, headers.get("content-type", ""), headers)
        decoded = codec.decode(wire, version.signature, self._settings.max_rows)
        attempt.decoded = decoded
        if not attempt.assign():
            raise Overloaded  # nobody waits for it any more
        trial = choice.trial
        outputs = run(version, decoded, trial)
        elapsed_ms = (time.perf_counter() - exchange.started) * 1000
        answer = Answer(choice.model, version.version, exchange.request_id, elapsed_ms)
        try:
            encoded = codec.encode(outputs, decoded, version.signature, answer)
        except StagedoorError:
            raise
        except Exception as error:  # whatever a model answers, what cannot be written is no answer
            raise InvalidOutput("it cannot be written in this protocol") from error
        if attempt.settle("ok") == "ok":
            self._books.succeeded(exchange, attempt)
            if trial is not None and trial.mirror is not None:
                self._shadow.offer(Copy(choice.model, trial, wire, target.codec, outputs, self._settings.max_rows))
        headers_out = (
            ("Content-Type", encoded.content_type),
            *encoded.headers,
            *(choice.headers if exchange.shielded is None else _named(exchange, attempt)),
            (names.HEADER_REQUEST_ID, exchange.request_id),
        )
        return Reply(200, headers_out, encoded.body)

    def hand_over(self, exchange: Exchange, attempt: Attempt, body: bytes) -> "Future[Reply]":
        """`answer` in a thread. Raises Overloaded where too many requests wait for one."""
        room = self._room if attempt.fallback is None else self._trial_room
        return room.submit(self.answer, exchange, attempt, body)

    def step_in(self, exchange: Exchange, error: Exception) -> Attempt | None:
        """The attempt of the stable version after `error` of another, where the route has it stand by."""
        attempt = exchange.attempt
        if attempt is None or attempt.fallback is None:
            return None
        self._books.stood_in_for(attempt, error)
        exchange.shielded = Shielded(attempt, error)
        exchange.attempt = Attempt(attempt.fallback)
        return exchange.attempt

    def fail(self, exchange: Exchange, error: Exception) -> Reply:
        """The answer to a request that any of the steps refused or failed."""
        target, attempt = exchange.target, exchange.attempt
        request_id = exchange.request_id or request_id_from({})
        exchange.request_id = request_id
        open_inference = target.is_open_inference if target else exchange.head.path.startswith("/v2/")
        reply = reply_for(error, request_id, open_inference=open_inference)
        # A name that never led to a version is the caller's invention: it must not become a label.
        known = attempt if attempt is not None and attempt.version is not None else None
        self._books.failed(exchange, known, reply.status, error)
        return reply if known is None else Reply(reply.status, (*reply.headers, *_named(exchange, known)), reply.body)

    # --- where the work is done ---------------------------------------------------------------------------------------

    def is_quick(self, attempt: Attempt, body: bytes) -> bool:
        """Whether `answer` costs less than handing it to a thread."""
        version = attempt.version
        if version is None or not version.quick or len(body) > INLINE_BODY_BYTES:
            return False
        trial = attempt.choice.trial
        return trial is None or trial.fault != "latency"

    def patience(self, exchange: Exchange, attempt: Attempt) -> float:
        """Seconds to wait for the version in hand; one that another stands in for gets half of what is left."""
        now = time.perf_counter()
        if not exchange.due:
            exchange.due = now + self._settings.predict_timeout_seconds
        left = max(0.0, exchange.due - now)
        return left if attempt.fallback is None else left / 2

    def out_of_time(self, attempt: Attempt, future: "Future[Reply]") -> Reply:
        """The answer, should it have come in the last moment.

        Raises what it failed with, PredictionTimeout, or Overloaded where its turn never came.
        """
        if future.cancel():
            raise Overloaded
        if not future.done():
            outcome = attempt.settle("timeout" if attempt.assigned else "overload")
            if outcome == "timeout":
                raise PredictionTimeout(self._settings.predict_timeout_seconds)
            if outcome != "ok":
                raise Overloaded
        return future.result(GRACE_SECONDS)

    def left_alone(self, exchange: Exchange, future: "Future[Reply]") -> None:
        """The caller has hung up: what comes of the running attempt is counted all the same."""
        future.add_done_callback(partial(self._bury, exchange))

    def _bury(self, exchange: Exchange, future: "Future[Reply]") -> None:
        error = None if future.cancelled() else future.exception()
        if isinstance(error, Exception):
            self.fail(exchange, error)

    @property
    def max_body_bytes(self) -> int:
        """Bytes a body may have."""
        return self._settings.max_body_bytes

    def predict(self, request: Request) -> Reply:
        """All steps in a row, blocking. Never raises."""
        exchange = Exchange(Head.of(request))
        try:
            attempt = self.admit(exchange)
            if len(request.body) > self._settings.max_body_bytes:
                raise BodyTooLarge(self._settings.max_body_bytes)  # noqa: TRY301  one way out for all failures
            try:
                return self._attempt(exchange, attempt, request.body)
            except Exception as error:  # whatever it is, the stable version may answer in its place
                second = self.step_in(exchange, error)
                if second is None:
                    raise
            return self._attempt(exchange, second, request.body)
        except Exception as error:  # noqa: BLE001  the gateway's last handler: a caller always gets an answer
            return self.fail(exchange, error)

    def _attempt(self, exchange: Exchange, attempt: Attempt, body: bytes) -> Reply:
        if attempt.version is None:
            self.load(attempt)
        if self.is_quick(attempt, body):
            return self.answer(exchange, attempt, body)
        future = self.hand_over(exchange, attempt, body)
        try:
            return future.result(self.patience(exchange, attempt))
        except FutureTimeout:
            return self.out_of_time(attempt, future)

    def close(self) -> None:
        """Let running predictions end and take no more."""
        self._room.close()
        self._trial_room.close()
        self._shadow.close()


def _named(exchange: Exchange, attempt: Attempt) -> Headers:
    """What the answer says of the version it comes from, and of the one that failed before it."""
    shielded = exchange.shielded
    if shielded is None:
        return attempt.choice.headers
    return (*attempt.choice.headers, (names.HEADER_SHIELDED_FROM, shielded.attempt.choice.version))


def _refuse_repeated(repeated: frozenset[str]) -> None:
    for name in ("authorization", "x-request-id", "content-type", "content-length"):
        if name in repeated:
            raise MalformedHeader(name.title(), "send it once")


def _check_length(text: str | None, limit: int) -> None:
    if text is not None and text.isdecimal() and int(text) > limit:
        raise BodyTooLarge(limit)
