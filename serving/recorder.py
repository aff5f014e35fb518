"""What is kept of each request: metrics and one log line, both off the request path."""

import threading
from collections import Counter as Tally
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, Any, Final

import orjson

from serving import metrics
from serving.routing import Choice

FLUSH_SECONDS: Final = 0.1
MAX_WAITING: Final = 100_000


@dataclass(slots=True)
class Record:
    """One request. `outcome` is ok, client_error, model_error, invalid_output, timeout, overload or internal_error.

    `at` is the epoch time it came in, `seconds` what it took, `code` the problem's code, `cause` for people's eyes.
    """

    request_id: str
    at: float
    status: int
    seconds: float
    outcome: str
    code: str | None = None
    choice: Choice | None = None
    subject: str | None = None
    protocol: str | None = None
    rows: int | None = None
    trace_id: str | None = None
    cause: str | None = None


class Recorder:
    """Takes records at the cost of one append; a thread turns them into metrics and lines.

    Should the log stand still, the newest records wait (up to MAX_WAITING) and the oldest are dropped and counted.
    """

    def __init__(self, stream: IO[bytes] | None) -> None:
        """`stream` takes the lines; None writes none."""
        self._stream = stream
        self._records: deque[Record] = deque()
        self._stop = threading.Event()
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to flush in the background."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Flush what is left and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self.flush()

    def add(self, record: Record) -> None:
        """Keep one record. Never blocks."""
        self._records.append(record)

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Write out what has come so far; the metrics endpoint calls it so that a scrape is up to date."""
        with self._flushing:
            records = self._take()
            if records:
                _count(records)
                self._write(records)

    def _take(self) -> list[Record]:
        waiting = len(self._records)
        lost = max(0, waiting - MAX_WAITING)
        for _ in range(lost):
            self._records.popleft()
        if lost:
            metrics.LOST_RECORDS.inc(lost)
        return [self._records.popleft() for _ in range(waiting - lost)]

    def _write(self, records: list[Record]) -> None:
        if self._stream is None:
            return
        lines = b"".join(orjson.dumps(_line(record), option=orjson.OPT_APPEND_NEWLINE) for record in records)
        try:
            self._stream.write(lines)
            self._stream.flush()
        except (OSError, ValueError):  # a closed or full log must not end the service
            metrics.LOST_RECORDS.inc(len(records))


def _line(record: Record) -> dict[str, Any]:
    line: dict[str, Any] = {
        "timestamp": _iso(record.at),
        "level": "info" if record.status < 500 else "error",  # noqa: PLR2004  HTTP's server errors
        "component": "gateway",
        "event": "prediction",
        "request_id": record.request_id,
        "status": record.status,
        "ms": round(record.seconds * 1000, 3),
        "outcome": record.outcome,
    }
    choice = record.choice
    if choice is not None:
        line["model"] = choice.model
        line["version"] = choice.version
        line["arm"] = choice.arm
        line["epoch"] = choice.epoch
        if choice.bucket is not None:
            line["bucket"] = choice.bucket
    for name in _OPTIONAL:
        value = getattr(record, name)
        if value is not None:
            line[name] = value
    return line


_OPTIONAL: Final = ("subject", "protocol", "rows", "code", "trace_id", "cause")


def _iso(at: float) -> str:
    """RFC 3339 with milliseconds, in UTC."""
    second = int(at)
    return f"{_second(second)}.{int((at - second) * 1000):03d}Z"


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _count(records: list[Record]) -> None:
    """Add up before touching the shared counters: one increment for a hundred alike requests."""
    outcomes: Tally[tuple[str, str, str, str]] = Tally()
    errors: Tally[tuple[str, str, str]] = Tally()
    rejected: Tally[str] = Tally()
    for record in records:
        choice = record.choice
        if choice is None:
            rejected[record.code or record.outcome] += 1
            continue
        outcomes[choice.model, choice.version, choice.arm, record.outcome] += 1
        if record.code is not None:
            errors[choice.model, choice.version, record.code] += 1
        metrics.DURATION.labels(choice.model, choice.version).observe(record.seconds)
    for labels, number in outcomes.items():
        metrics.PREDICTIONS.labels(*labels).inc(number)
    for error_labels, number in errors.items():
        metrics.ERRORS.labels(*error_labels).inc(number)
    for code, number in rejected.items():
        metrics.REJECTED.labels(code).inc(number)
