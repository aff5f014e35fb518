"""What is kept of each request: metrics and one log line, both off the request path."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Final

from serving.records import Record
from serving.request_log import RequestLog
from serving.tally import Tally
from serving.units import FirstOutcomes

FLUSH_SECONDS: Final = 0.025
WRITE_SECONDS: Final = 0.25
"""What is no evidence is added up for so long where the loop counts: a label set costs as much as a sixth of a request."""
SLICE: Final = 16
"""So many records an event loop counts in one go: a tenth of a millisecond, for which its requests wait."""

_MANY: Final = 1_000


class Recorder:
    """Takes records at the cost of one append, and makes metrics and lines of them soon.

    Evidence is written slice by slice, all else is added up for as long as `WRITE_SECONDS`. Should the log stand still, its
    lines wait and the oldest are left out. What they tell is counted all the same: an outcome that is never counted would pass
    for a version that died of its request.
    """

    def __init__(self, stream: IO[bytes] | None, units: FirstOutcomes | None = None) -> None:
        """`stream` takes the lines; None writes none. `units` knows the callers who have been counted."""
        self._log = RequestLog(stream) if stream is not None else None
        self._tally = Tally(units)
        self._written_at = 0.0
        self._records: deque[Record] = deque()
        self._stop = threading.Event()
        self._counting = threading.Lock()
        self._flusher: threading.Thread | None = None
        self._soon: Callable[[Callable[[], None]], object] | None = None
        self._clock: Callable[[], float] = time.monotonic
        self._home = 0
        self._planned = self._has_counted = False

    def start(self) -> None:
        """Begin to flush in the background."""
        self._flusher = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._flusher.start()

    def stop(self) -> None:
        """Flush what is left and end the thread."""
        self._stop.set()
        if self._flusher is not None:
            self._flusher.join(timeout=5)
        self.flush()

    def count_in_loop(self, soon: Callable[[Callable[[], None]], object], clock: Callable[[], float] = time.monotonic) -> None:
        """Have records counted by the event loop of this thread, slice by slice behind its answers; `soon` is its `call_soon`.

        `clock` gives seconds, by which it is decided when to write what was added up.

        A thread that wants the interpreter while the loop has it costs both more than the counting. What may be held up, the
        writing itself, stays with the thread, which also sees to what is left over when requests cease.
        """
        self._soon, self._clock = soon, clock
        self._home = threading.get_ident()

    def add(self, record: Record) -> None:
        """Keep one record. Never blocks."""
        self._records.append(record)
        if len(self._records) >= SLICE and not self._planned and threading.get_ident() == self._home:
            self._plan()

    def catch_up(self) -> None:
        """Count what has come so far, so that a scrape is up to date."""
        with self._counting:
            left = len(self._records)
            while left:
                left -= self._count(min(left, _MANY))
            self._tally.write()

    def flush(self) -> None:
        """Count what has come so far, and write its lines. Blocks for as long as the log stands still."""
        self.catch_up()
        self._write_out()

    def look_after(self) -> None:
        """What the thread does each `FLUSH_SECONDS`: count where no loop does, and write the lines."""
        if not self._has_counted:  # else the loop is at it, and will not leave more than a slice
            self.catch_up()
        self._has_counted = False
        self._write_out()

    def _write_out(self) -> None:
        if self._log is not None:
            self._log.write_out()

    def _plan(self) -> None:
        if self._soon is not None and len(self._records) >= SLICE:
            self._planned = True
            self._soon(self._count_slice)

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self.look_after()

    def _count_slice(self) -> None:
        self._planned = False
        if self._counting.acquire(blocking=False):
            try:
                self._count(min(SLICE, len(self._records)))
                self._has_counted = True
                now = self._clock()
                if now - self._written_at > WRITE_SECONDS:
                    self._written_at = now
                    self._tally.write()
            finally:
                self._counting.release()
        self._plan()

    def _count(self, number: int) -> int:
        records = [self._records.popleft() for _ in range(number)]
        if self._tally.add(records):
            self._tally.write()
        if self._log is not None:
            self._log.keep(records)
        return number
