"""The one way a prediction goes, whatever carries it: admit, read, decode, run, answer.

The lane calls the steps, so that it can wait in between; `Plane.predict` does them in a row for everybody else.
"""

import time
from collections.abc import Callable
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import Final

from serving.books import Books
from serving.codecs import CODECS, Answer, Wire
from serving.codecs.encodings import decode, decode_inline
from serving.crew import Crew, TakeBack
from serving.entrance import Authenticates, Entrance
from serving.exchange import Attempt, Exchange, Head, Shielded
from serving.http import Headers, Reply, Request
from serving.pool import Pool
from serving.problems import reply_for, turned_away
from serving.routing import choose
from serving.shadow import Copy, Shadow
from serving.trace import new_request_id
from serving.values import Outputs
from stagedoor import names
from stagedoor.errors import (
    BodyTooLarge,
    InvalidOutput,
    Overloaded,
    PredictionTimeout,
    StagedoorError,
    VersionNotReady,
)
from stagedoor.settings import Settings

INLINE_BODY_BYTES: Final = 65_536
"""Larger bodies are decoded in a thread, so that one caller's batch never holds up the event loop."""

INLINE_ANSWER_BYTES: Final = 65_536
"""Larger answers of a thread are put into words there."""

GRACE_SECONDS: Final = 1.0
"""For an answer that is done when patience ends, and has yet to be put into words."""

Rest = Callable[[], Reply]
"""What is left of an attempt once a thread is done with it: gives the answer, or raises what the attempt failed with."""


class Plane:
    """Answers predictions from the pool's current view. Safe to call from any number of threads."""

    def __init__(self, settings: Settings, authenticator: Authenticates, pool: Pool, books: Books, shadow: Shadow) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._entrance = Entrance(authenticator, settings.default_model, settings.max_body_bytes)
        self._pool = pool
        self._books = books
        self._shadow = shadow
        self._crew = Crew(settings, pool)
        self._draws = count(time.time_ns())
        self._max_rows = settings.max_rows
        self.max_body_bytes = settings.max_body_bytes
        self.read_seconds = settings.read_timeout_seconds
        self.queue_seconds = settings.queue_milliseconds / 1000

    def share_cores(self, workers: int) -> None:
        """Take no more than this worker's part of the cores, where so many have the machine. Before the first prediction."""
        self._crew.share_cores(workers)

    # --- the steps ----------------------------------------------------------------------------------------------------

    def admit(self, exchange: Exchange) -> Attempt:
        """Decide from the head alone who asks for what, and which version is to try. Raises Rejected and Unserved."""
        clearance = exchange.head.clearance
        if clearance is None or not self._authenticator.still_holds(clearance.recognised, exchange.at):
            clearance = self._entrance.clear(exchange)
        else:
            exchange.request_id = clearance.request_id or new_request_id()
            exchange.principal = clearance.recognised.principal
            exchange.packed = clearance.packed
            exchange.target = clearance.target
        exchange.draw = next(self._draws)
        attempt = exchange.attempt = Attempt(*choose(self._pool.view, clearance.target.ref, exchange))
        if clearance.is_too_large:
            raise BodyTooLarge(self.max_body_bytes)
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
        """Read, run and reply in the calling thread. Raises Rejected and Unserved."""
        self.read(exchange, attempt, body)
        assert exchange.principal is not None  # noqa: S101  admit comes first
        return self.reply(exchange, attempt, self._crew.run(attempt, exchange.principal))

    def unpack(self, exchange: Exchange, body: bytes) -> bytes:
        """The body without its Content-Encoding where that is quick; else as it is, and `packed` stays. Raises Rejected."""
        unpacked = decode_inline(body, exchange.packed)
        if unpacked is None:
            return body
        exchange.packed = None
        return unpacked

    def read(self, exchange: Exchange, attempt: Attempt, body: bytes) -> None:
        """Decode and check the request, and count the version as given it. Raises Rejected and Overloaded."""
        version, target = attempt.version, exchange.target
        assert version is not None and target is not None  # noqa: PT018, S101  admit and load come first
        attempt.began = time.perf_counter()
        headers = exchange.headers
        if exchange.packed:
            body = decode(body, exchange.packed, self.max_body_bytes)
        wire = attempt.wire = Wire(body, headers.get("content-type", ""), headers)
        attempt.decoded = CODECS[target.codec].decode(wire, version.signature, self._max_rows)
        if not attempt.assign():
            raise Overloaded  # nobody waits for it any more

    def reply(self, exchange: Exchange, attempt: Attempt, outputs: Outputs) -> Reply:
        """Put into words what the version has answered. Raises InvalidOutput and InvalidRequest."""
        version, target, decoded, choice = attempt.version, exchange.target, attempt.decoded, attempt.choice
        assert version is not None and target is not None and decoded is not None  # noqa: PT018, S101  read comes first
        answer = Answer(choice.model, version.version, exchange.request_id, exchange.started)
        try:
            encoded = CODECS[target.codec].encode(outputs, decoded, version.signature, answer)
        except StagedoorError:
            raise
        except Exception as error:  # whatever a model answers, what cannot be written is no answer
            raise InvalidOutput("it cannot be written in this protocol").because_of(error) from error
        if attempt.settle("ok") == "ok":
            self._books.succeeded(exchange, attempt)
            self._offer_copy(attempt, target.codec, outputs)
        headers = (
            ("Content-Type", encoded.content_type),
            *encoded.headers,
            *(((names.HEADER_CACHE, attempt.kept),) if attempt.kept else ()),
            *(choice.headers if exchange.shielded is None else _named(exchange, attempt)),
            (names.HEADER_REQUEST_ID, exchange.request_id),
        )
        return Reply(200, headers, encoded.body)

    def _offer_copy(self, attempt: Attempt, codec: str, outputs: Outputs) -> None:
        trial = attempt.choice.trial
        if trial is not None and trial.mirror is not None and attempt.wire is not None:
            self._shadow.offer(Copy(attempt.choice.model, trial, attempt.wire, codec, outputs, self._max_rows))

    def hand_over(self, exchange: Exchange, attempt: Attempt, body: bytes, done: Callable[[Rest], None]) -> TakeBack:
        """Have the attempt run by others; `done` is called with the rest, by whoever ran it, or here where that is known.

        Raises Rejected where the request need not wait to be refused, and Overloaded where too many wait already.
        """
        if exchange.packed or len(body) > INLINE_BODY_BYTES:
            return self._crew.whole(attempt, partial(self.answer, exchange, attempt, body), done)
        if not self._crew.has_room(attempt):
            raise Overloaded
        self.read(exchange, attempt, body)
        assert exchange.principal is not None  # noqa: S101  admit comes first
        return self._crew.start(attempt, exchange.principal, lambda answer: done(self._rest(exchange, attempt, answer)))

    def _rest(self, exchange: Exchange, attempt: Attempt, answer: Outputs | Exception) -> Rest:
        """What remains once the version has run. Large answers are written here and now, not in the event loop."""
        if isinstance(answer, Exception):
            return partial(_throw, answer)
        rest = partial(self.reply, exchange, attempt, answer)
        if sum([array.nbytes for array in answer.arrays.values()]) <= INLINE_ANSWER_BYTES:
            return rest
        try:
            reply = rest()
        except Exception as error:  # noqa: BLE001  it belongs to who waits for the answer
            return partial(_throw, error)
        return lambda: reply

    def step_in(self, exchange: Exchange, error: Exception) -> Attempt | None:
        """The attempt of the stable version after `error` of another, where the route has it stand by."""
        attempt = exchange.attempt
        if attempt is None or attempt.fallback is None:
            return None
        self._books.stood_in_for(attempt, error)
        exchange.shielded = Shielded(attempt, error)
        exchange.attempt = Attempt(attempt.fallback, attempt.bucket)
        return exchange.attempt

    def fail(self, exchange: Exchange, error: Exception) -> Reply:
        """The answer to a request that any of the steps refused or failed."""
        target, attempt = exchange.target, exchange.attempt
        request_id = exchange.request_id or new_request_id()
        exchange.request_id = request_id
        open_inference = target.is_open_inference if target else exchange.head.path.startswith("/v2/")
        reply = reply_for(error, request_id, open_inference=open_inference)
        # A name that never led to a version is the caller's invention: it must not become a label.
        known = attempt if attempt is not None and attempt.version is not None else None
        self._books.failed(exchange, known, reply.status, error)
        if known is None:
            return reply
        *headers, last = reply.headers
        return Reply(reply.status, (*headers, *_named(exchange, known), last), reply.body)

    def without_room(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        """The answer to a request whose version has no room for one more, at the least cost, so that there is time for others.

        None where there is room, or the attempt has more to it than an answer.
        """
        choice = attempt.choice
        if choice.trial is not None or exchange.shielded is not None or self._crew.has_room(attempt):
            return None
        self._books.without_room(exchange, choice)
        target = exchange.target
        open_inference = target is not None and target.is_open_inference
        return turned_away(exchange.request_id, choice.headers, open_inference=open_inference)

    def turn_away(self) -> Reply:
        """The answer to a request for which there is no time; counted, but without a line of its own in the log."""
        self._books.turned_away()
        return turned_away(new_request_id())

    # --- where the work is done ---------------------------------------------------------------------------------------

    def is_quick(self, exchange: Exchange, attempt: Attempt, body: bytes) -> bool:
        """Whether `answer` costs less than handing it to a thread."""
        version = attempt.version
        if version is None or not version.quick or exchange.packed or len(body) > INLINE_BODY_BYTES:
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

    def out_of_time(self, attempt: Attempt, take_back: TakeBack) -> None:
        """Give up an attempt whose time is up. Returns if its answer is about to come after all.

        Raises PredictionTimeout, or Overloaded where its turn never came.
        """
        if take_back():
            raise Overloaded
        outcome = attempt.settle("timeout" if attempt.assigned else "overload")
        if outcome == "timeout":
            raise PredictionTimeout(self._settings.predict_timeout_seconds)
        if outcome != "ok":
            raise Overloaded

    # --- all of it, blocking ------------------------------------------------------------------------------------------

    def predict(self, request: Request) -> Reply:
        """All steps in a row. Never raises."""
        exchange = Exchange(Head.of(request))
        try:
            attempt = self.admit(exchange)
            if len(request.body) > self.max_body_bytes:
                raise BodyTooLarge(self.max_body_bytes)  # noqa: TRY301  one way out for all failures
            body = self.unpack(exchange, request.body)
            try:
                return self._attempt(exchange, attempt, body)
            except Exception as error:  # whatever it is, the stable version may answer in its place
                second = self.step_in(exchange, error)
                if second is None:
                    raise
            return self._attempt(exchange, second, body)
        except Exception as error:  # noqa: BLE001  the gateway's last handler: a caller always gets an answer
            return self.fail(exchange, error)

    def _attempt(self, exchange: Exchange, attempt: Attempt, body: bytes) -> Reply:
        if attempt.version is None:
            self.load(attempt)
        if self.is_quick(exchange, attempt, body):
            return self.answer(exchange, attempt, body)
        box: SimpleQueue[Rest] = SimpleQueue()
        take_back = self.hand_over(exchange, attempt, body, box.put)
        try:
            return box.get(timeout=self.patience(exchange, attempt))()
        except Empty:
            self.out_of_time(attempt, take_back)
            return box.get(timeout=GRACE_SECONDS)()

    def close(self) -> None:
        """Let running predictions end and take no more."""
        self._crew.close()
        self._shadow.close()


def _throw(error: Exception) -> Reply:
    raise error


def _named(exchange: Exchange, attempt: Attempt) -> Headers:
    """What the answer says of the version it comes from, and of the one that failed before it."""
    shielded = exchange.shielded
    if shielded is None:
        return attempt.choice.headers
    return (*attempt.choice.headers, (names.HEADER_SHIELDED_FROM, shielded.attempt.choice.version))
