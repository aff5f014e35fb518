"""Who is charged with what: each attempt of a version under one outcome, each request in one log line."""

import time
from typing import Final, NamedTuple

from serving import blame
from serving.exchange import Attempt, Exchange, Failure, Shielded
from serving.recorder import Recorder
from serving.records import FailedAttempt, Record
from serving.routing import Choice
from serving.trace import trace_id_from
from stagedoor.errors import Rejected


class _End(NamedTuple):
    status: int
    outcome: str
    counted: str
    error: Failure | None


_GOOD: Final = _End(200, "ok", "ok", None)


class Books:
    """Turns outcomes into records. What the caller did wrong and what found no room is no version's fault.

    An attempt that was assigned ends as ok, model_error, invalid_output, timeout or overload; one that was not, as none of
    these. So by version, arm and epoch these outcomes add up to what was assigned, but for requests still on their way.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def succeeded(self, exchange: Exchange, attempt: Attempt) -> None:
        """`attempt` has answered the request, and that holds."""
        shielded = exchange.shielded
        if shielded is not None and isinstance(shielded.error, Rejected):
            shielded.attempt.assign_late()  # it refused what the stable version takes
            self._settle(shielded.attempt, "model_error", shielded.error)
        self._add(exchange, attempt, _GOOD)

    def stood_in_for(self, attempt: Attempt, error: Exception) -> None:
        """Another version is to answer in the place of `attempt`.

        A refusal of the request is not charged yet: it is the version's fault only if the other one takes the same request.
        """
        if not isinstance(error, Rejected):
            self._settle(attempt, blame.outcome_of(error), error)

    def failed(self, exchange: Exchange, attempt: Attempt | None, status: int, error: Exception) -> None:
        """The request gets a problem for an answer. `attempt` is None where no version was reached."""
        shielded = exchange.shielded
        if shielded is not None and isinstance(shielded.error, Rejected) and shielded.attempt.assigned:
            self._settle(shielded.attempt, "client_error", shielded.error)
        outcome = blame.outcome_of(error)
        counted = outcome if attempt is None else _settled(attempt, outcome)
        self._add(exchange, attempt, _End(status, outcome, counted, error))

    def without_room(self, exchange: Exchange, choice: Choice) -> None:
        """A request was refused unread, since its version had no room: it counts as the version's all the same."""
        record = Record("", 0.0, 503, time.perf_counter() - exchange.started, "overload", "overload", code="overloaded")
        record.choice, record.assigned, record.logged = choice, True, False
        self._recorder.add(record)

    def turned_away(self) -> None:
        """A request was refused unread, since there was no time for it."""
        self._recorder.add(Record("", 0.0, 503, 0.0, "overload", "overload", code="overloaded", logged=False))

    def _settle(self, attempt: Attempt, outcome: str, error: Exception) -> None:
        """Count an attempt that is not the last one of its request; the log line comes with that one."""
        counted = _settled(attempt, outcome)
        took = time.perf_counter() - attempt.began if attempt.began else 0.0
        code, choice, epoch = blame.code_of(error), attempt.choice, _label(attempt)
        assigned = attempt.assigned and not epoch
        record = Record("", 0.0, 0, took, outcome, counted, took, code, choice, epoch, logged=False, assigned=assigned)
        record.unit = attempt.unit
        self._recorder.add(record)

    def _add(self, exchange: Exchange, attempt: Attempt | None, end: _End) -> None:
        status, outcome, counted, error = end
        now = time.perf_counter()
        record = Record(exchange.request_id, exchange.at, status, now - exchange.started, outcome, counted)
        if attempt is not None:
            record.choice = attempt.choice
            record.bucket = attempt.bucket
            record.unit = attempt.unit
            if attempt.choice.trial is not None:
                record.epoch = _label(attempt)
            record.assigned = attempt.assigned and not record.epoch
            record.kept = attempt.kept
            if attempt.decoded is not None:
                record.rows = attempt.decoded.inputs.rows
                record.took = now - attempt.began
        if error is not None:
            record.code = blame.code_of(error)
            record.cause = blame.cause_of(error)
        principal, target = exchange.principal, exchange.target
        if principal is not None:
            record.subject = principal.subject
        if target is not None:
            record.protocol = target.codec
        traceparent = exchange.headers.get("traceparent")
        if traceparent is not None:
            record.trace_id = trace_id_from(traceparent)
        if exchange.shielded is not None:
            record.shielded = _told(exchange.shielded)
        self._recorder.add(record)


def _settled(attempt: Attempt, outcome: str) -> str:
    """What the attempt counts as. Who asked for an output that the model does not have has still got an answer out of it."""
    counted = attempt.settle("ok" if outcome == "client_error" and attempt.assigned else outcome)
    if counted == "overload":
        attempt.assign_late()
    return counted


def _label(attempt: Attempt) -> str:
    trial = attempt.choice.trial
    return trial.epoch if trial is not None and attempt.assigned else ""


def _told(shielded: Shielded) -> FailedAttempt:
    attempt, error = shielded
    outcome = attempt.outcome or blame.outcome_of(error)
    return FailedAttempt(attempt.choice.version, attempt.choice.arm, outcome, blame.code_of(error), blame.cause_of(error))
