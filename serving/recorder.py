"""What is kept of each request: metrics and one log line, both off the request path."""

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, Any, Final

import orjson

from serving import metrics
from serving.records import Record
from serving.tally import count
from serving.units import FirstOutcomes

FLUSH_SECONDS: Final = 0.025
SLICE: Final = 16
"""So many records an event loop writes out in one go: a tenth of a millisecond, for which its requests wait."""

MAX_WAITING: Final = 100_000


class Recorder:
    """Takes records at the cost of one append; a thread turns them into metrics and lines.

    Should the log stand still, the newest lines wait (up to MAX_WAITING) and the oldest are left out. What they tell is
    counted all the same: an outcome that is never counted would pass for a version that died of its request.
    """

    def __init__(self, stream: IO[bytes] | None, units: FirstOutcomes | None = None) -> None:
        """`stream` takes the lines; None writes none. `units` knows the callers who have been counted."""
        self._stream = stream
        self._units = units
        self._records: deque[Record] = deque()
        self._stop = threading.Event()
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._soon: Callable[[Callable[[], None]], object] | None = None
        self._home = 0
        self._planned = False

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

    def write_in_loop(self, soon: Callable[[Callable[[], None]], object]) -> None:
        """Have records written by the event loop of this thread, slice by slice behind its answers; `soon` is its `call_soon`.

        A thread that wants the interpreter while the loop has it costs both more than the writing. It still sees to what is
        left over when requests cease.
        """
        self._soon = soon
        self._home = threading.get_ident()

    def add(self, record: Record) -> None:
        """Keep one record. Never blocks."""
        self._records.append(record)
        if self._soon is not None and not self._planned and len(self._records) >= SLICE and threading.get_ident() == self._home:
            self._planned = True
            self._soon(self._write_slice)

    def _write_slice(self) -> None:
        self._planned = False
        if self._flushing.acquire(blocking=False):
            try:
                self._write_out(min(SLICE, len(self._records)), 0)
            finally:
                self._flushing.release()

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Write out what has come so far; the metrics endpoint calls it so that a scrape is up to date."""
        with self._flushing:
            waiting = len(self._records)
            lost = max(0, waiting - MAX_WAITING)
            if lost:
                metrics.LOST_RECORDS.inc(lost)
            self._write_out(waiting, lost)

    def _write_out(self, number: int, unwritten: int) -> None:
        """Count the oldest `number` records, and write lines of all but the first `unwritten`."""
        records = [self._records.popleft() for _ in range(number)]
        if records:
            count(records, self._units)
            self._write(records[unwritten:])

    def _write(self, records: list[Record]) -> None:
        if self._stream is None or not records:
            return
        lines = b"".join(_line(record) for record in records if record.logged)
        try:
            self._stream.write(lines)
            self._stream.flush()
        except (OSError, ValueError):  # a closed or full log must not end the service
            metrics.LOST_RECORDS.inc(len(records))


def _line(record: Record) -> bytes:
    """One JSON line. What is the same in most lines is encoded once; the rest is written beside it."""
    request_id = record.request_id
    quoted = f'"{request_id}"' if request_id.isalnum() else _quoted(request_id)
    line = f'{{"timestamp":"{_iso(record.at)}","request_id":{quoted},"ms":{record.seconds * 1000:.3f},"status":{record.status}'
    if record.rows is not None:
        line += f',"rows":{record.rows}'
    choice = record.choice
    if choice is not None:
        if choice.bucket is not None:
            line += f',"bucket":{choice.bucket}'
        line += _version_part(choice.model, choice.version, choice.arm, choice.epoch)
    if record.code is not None or record.trace_id is not None:  # a cause comes with a code
        for name in _RARE:
            value = getattr(record, name)
            if value is not None:
                line += f',"{name}":{_quoted(value)}'
    if record.shielded is not None:
        line += _shielded_part(*record.shielded)
    return f"{line},{_common_part(record.status >= SERVER_ERROR, record.outcome, record.subject, record.protocol)}\n".encode()


@lru_cache(maxsize=1024)
def _version_part(model: str, version: str, arm: str, epoch: int) -> str:
    return "," + _members({"model": model, "version": version, "arm": arm, "epoch": epoch})


def _shielded_part(version: str, arm: str, outcome: str, code: str, cause: str | None) -> str:
    told = {"shielded_from": version, "shielded_arm": arm, "shielded_outcome": outcome, "shielded_code": code}
    return "," + _members(told | ({"shielded_cause": cause} if cause else {}))


@lru_cache(maxsize=1024)
def _common_part(failed: bool, outcome: str, subject: str | None, protocol: str | None) -> str:  # noqa: FBT001  a cache's key
    known = {"subject": subject, "protocol": protocol}
    level = "error" if failed else "info"
    same = {"level": level, "component": "gateway", "event": "prediction", "outcome": outcome}
    return _members(same | {name: value for name, value in known.items() if value is not None}) + "}"


def _members(values: dict[str, Any]) -> str:
    return orjson.dumps(values).decode()[1:-1]


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


_RARE: Final = ("code", "trace_id", "cause")
SERVER_ERROR: Final = 500


def _iso(at: float) -> str:
    """RFC 3339 with milliseconds, in UTC."""
    second = int(at)
    return f"{_second(second)}.{int((at - second) * 1000):03d}Z"


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
