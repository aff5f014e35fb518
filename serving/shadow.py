"""Copies of requests for a version that is only watched: after the answer, beside the traffic, never in its way."""

import time
from collections import deque
from threading import Condition, Thread
from typing import Any, Final, NamedTuple

from serving import metrics
from serving.agreement import agree
from serving.blame import outcome_of
from serving.checked import predict_checked
from serving.codecs import CODECS, Wire
from serving.routing import Trial
from serving.values import Outputs
from stagedoor.errors import Rejected
from stagedoor.telemetry import get_logger

WAITING: Final = 64
"""Copies that wait in one worker; more are dropped, and counted."""

WAITING_BYTES: Final = 16 * 1024 * 1024
AFTER_SECONDS: Final = 0.002
"""A copy waits this long at least: its own request is to be on its way to the caller first."""


class Copy(NamedTuple):
    """A request that has been answered with `sent`. `trial` names the version to give it to, and the epoch it counts in."""

    model: str
    trial: Trial
    wire: Wire
    codec: str
    sent: Outputs
    max_rows: int


class Shadow:
    """One thread for all copies of a worker, with a bounded queue before it. Nothing here can fail or hold up a request.

    A version that never returns holds the thread for good: its copy is counted as a timeout, the rest as dropped.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._waiting: deque[tuple[float, Copy]] = deque()
        self._bytes = 0
        self._news = Condition()
        self._closed = False
        self._thread: Thread | None = None
        self._running: tuple[float, Copy] | None = None
        self._log: Any = get_logger()

    def offer(self, copy: Copy) -> None:
        """Take a copy, or drop and count it where there is no room. Never blocks for longer than a few instructions."""
        now = time.monotonic()
        with self._news:
            overdue = self._overdue(now)
            room = len(self._waiting) < WAITING and self._bytes + len(copy.wire.body) <= WAITING_BYTES
            taken = room and not self._closed and copy.trial.mirrored is not None
            if taken:
                self._waiting.append((now, copy))
                self._bytes += len(copy.wire.body)
                self._news.notify()
                self._start()
        if not taken:
            _count(copy, "dropped")
        if overdue is not None:
            _count(overdue, "timeout")

    def close(self) -> None:
        """Drop what waits and take no more."""
        with self._news:
            self._closed = True
            self._waiting.clear()
            self._news.notify()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def _overdue(self, now: float) -> Copy | None:
        """The copy in hand, once, when its time is up."""
        if self._running is None or now - self._running[0] <= self._timeout:
            return None
        copy, self._running = self._running[1], None
        return copy

    def _run(self) -> None:
        while (taken := self._next()) is not None:
            since, copy = taken
            time.sleep(max(0.0, min(AFTER_SECONDS, since + AFTER_SECONDS - time.monotonic())))
            started = time.monotonic()
            with self._news:
                self._running = (started, copy)
            outcome = self._outcome(copy)
            with self._news:
                uncounted, self._running = self._running is not None, None
            if uncounted:
                _count(copy, "timeout" if time.monotonic() - started > self._timeout else outcome)

    def _next(self) -> tuple[float, Copy] | None:
        with self._news:
            while not self._waiting:
                if self._closed:
                    return None
                self._news.wait()
            taken = self._waiting.popleft()
            self._bytes -= len(taken[1].wire.body)
            return taken

    def _outcome(self, copy: Copy) -> str:
        version = copy.trial.mirrored
        assert version is not None  # noqa: S101  offer drops those without
        try:
            decoded = CODECS[copy.codec].decode(copy.wire, version.signature, copy.max_rows)
            return (
                "agree"
                if agree(copy.sent, predict_checked(version.predictor, version.signature.check_outputs, decoded.inputs))
                else "disagree"
            )
        except Rejected:
            return "model_error"  # it refuses a request that was answered
        except Exception as error:  # noqa: BLE001  nothing that a watched version does may end the watching
            outcome = outcome_of(error)
            return outcome if outcome in {"model_error", "invalid_output"} else "model_error"


def _count(copy: Copy, outcome: str) -> None:
    trial = copy.trial
    metrics.SHADOW.labels(copy.model, str(trial.mirror), trial.epoch, outcome).inc()
