"""One JSON line for each request, kept until whoever may be held up writes them out."""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from typing import IO, Any, Final

import orjson

from serving import metrics
from serving.records import Record

MAX_WAITING: Final = 100_000
"""Lines that wait while the log stands still; then the oldest are left out."""


class RequestLog:
    """Lines on their way to `stream`. Safe to use from any number of threads."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._number = 0
        self._keeping = Lock()
        self._writing = Lock()

    def keep(self, records: Iterable[Record]) -> None:
        """Put `records` into words, and wait. Never blocks for longer than that takes."""
        lines = [_line(record) for record in records if record.logged]
        if not lines:
            return
        with self._keeping:
            self._waiting.append((b"".join(lines), len(lines)))
            self._number += len(lines)
            while self._number > MAX_WAITING:
                _, lost = self._waiting.popleft()
                self._number -= lost
                metrics.LOST_RECORDS.inc(lost)

    def write_out(self) -> None:
        """Write what waits. Blocks for as long as the log stands still."""
        with self._writing:
            with self._keeping:
                taken, number = self._waiting, self._number
                self._waiting, self._number = deque(), 0
            if not taken:
                return
            try:
                self._stream.write(b"".join([lines for lines, _ in taken]))
                self._stream.flush()
            except (OSError, ValueError):  # a closed or full log must not end the service
                metrics.LOST_RECORDS.inc(number)


def _line(record: Record) -> bytes:
    """One JSON line. What is the same in most lines is encoded once; the rest is written beside it."""
    request_id = record.request_id
    quoted = f'"{request_id}"' if request_id.isalnum() else _quoted(request_id)
    line = f'{{"timestamp":"{_iso(record.at)}","request_id":{quoted},"ms":{record.seconds * 1000:.3f},"status":{record.status}'
    if record.rows is not None:
        line += f',"rows":{record.rows}'
    choice = record.choice
    if choice is not None:
        if record.bucket is not None:
            line += f',"bucket":{record.bucket}'
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
