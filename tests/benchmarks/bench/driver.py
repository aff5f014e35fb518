"""The process that carries out an open-loop plan: non-blocking sockets over epoll, woken by a timerfd.

A request that is due takes a connection without a request on it, or a new one up to `most_connections`; failing that it waits,
and its wait counts. Started by bench.open_loop; reads a plan from standard input, writes its findings to standard output.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field

from .open_loop import PATIENCE_SECONDS, Found, Plan
from .timer import Timer
from .wire import extent

LEAST_TICK_NS = 50_000
"""Waking up more often than this would cost more than it gains: answers wake the driver as well."""
_READ = 32_768


@dataclass(slots=True, eq=False)
class Line:
    """One connection. `due` is the due time (ns) of the request on it, 0 where there is none."""

    sock: socket.socket
    fd: int
    due: int = 0
    left: bytes = b""
    """What of the request the kernel has not taken yet."""
    got: bytes = b""
    whole: int = 0
    """Length of the answer, once its head is there; -1 where it comes in chunks."""
    head_end: int = 0
    opening: bool = False


@dataclass(slots=True)
class Tally:
    """Findings while they come in."""

    ok: list[int] = field(default_factory=list)
    shed: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    other: dict[str, int] = field(default_factory=dict)
    broken: int = 0


class Driver:
    """Carries out one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._request = plan.request.encode("latin-1")
        self._epoll = select.epoll()
        self._timer = Timer()
        self._epoll.register(self._timer.fd, select.EPOLLIN)
        self._lines: dict[int, Line] = {}
        self._free: list[Line] = []
        self._waiting: deque[int] = deque()
        """Due times of requests that no connection was free for."""
        self._opening = 0
        self._out = 0
        self._tally = Tally()

    def run(self) -> Found:
        """Send everything, wait for the answers, and say what came of it."""
        plan = self._plan
        for _ in range(plan.connections):
            self._open()
        count = max(1, int(plan.per_second * plan.seconds))
        gap = 1e9 / plan.per_second
        cpu = time.process_time()
        start = due = time.monotonic_ns() + 5_000_000
        self._timer.start(start, max(int(gap), LEAST_TICK_NS))
        number = 0
        while number < count:
            now = time.monotonic_ns()
            while due <= now and number < count:
                self._send_due(due, now)
                number += 1
                due = start + int(number * gap)
            self._handle(self._epoll.poll(1.0))
        end = time.monotonic_ns()
        patience = end + int(PATIENCE_SECONDS * 1e9)
        while (self._out or self._waiting) and time.monotonic_ns() < patience:
            self._handle(self._epoll.poll(1.0))
        cpu = time.process_time() - cpu
        for line in list(self._lines.values()):
            line.sock.close()
        self._timer.close()
        return self._found(count, (end - start) / 1e9, cpu)

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send_due(self, due: int, now: int) -> None:
        if self._free and not self._waiting:
            self._tally.late.append(now - due)
            self._send(self._free.pop(), due)
            return
        self._waiting.append(due)
        if len(self._lines) < self._plan.most_connections and self._opening < len(self._waiting):
            self._open_soon()

    def _send(self, line: Line, due: int) -> None:
        line.due = due
        self._out += 1
        try:
            sent = line.sock.send(self._request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(line)
            return
        if sent < len(self._request):
            line.left = self._request[sent:]
            self._epoll.modify(line.fd, select.EPOLLIN | select.EPOLLOUT)

    def _send_rest(self, line: Line) -> None:
        if line.opening:
            line.opening = False
            self._opening -= 1
            self._epoll.modify(line.fd, select.EPOLLIN)
            self._give_back(line)
            return
        try:
            line.left = line.left[line.sock.send(line.left) :]
        except BlockingIOError:
            return
        except OSError:
            self._lose(line)
            return
        if not line.left:
            self._epoll.modify(line.fd, select.EPOLLIN)

    def _give_back(self, line: Line) -> None:
        if self._waiting:
            self._send(line, self._waiting.popleft())
        else:
            self._free.append(line)

    # --- connections --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """A connection to begin with; waits for it."""
        sock = socket.create_connection((self._plan.host, self._plan.port), timeout=5)
        self._free.append(self._adopt(sock, select.EPOLLIN))

    def _open_soon(self) -> None:
        """One more connection while others are busy."""
        sock = socket.socket()
        sock.setblocking(False)  # noqa: FBT003  the socket module's own signature
        sock.connect_ex((self._plan.host, self._plan.port))
        self._adopt(sock, select.EPOLLIN | select.EPOLLOUT).opening = True
        self._opening += 1

    def _adopt(self, sock: socket.socket, events: int) -> Line:
        sock.setblocking(False)  # noqa: FBT003  the same
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = self._lines[sock.fileno()] = Line(sock, sock.fileno())
        self._epoll.register(line.fd, events)
        return line

    def _lose(self, line: Line) -> None:
        """The connection has ended; a request on it has failed, and another connection takes its place."""
        if line.due:
            self._out -= 1
            self._tally.broken += 1
        self._drop(line)

    def _drop(self, line: Line) -> None:
        self._lines.pop(line.fd, None)
        self._opening -= line.opening
        if line in self._free:
            self._free.remove(line)
        line.sock.close()  # epoll forgets it by that
        if self._waiting and self._opening < len(self._waiting):
            self._open_soon()

    # --- answers ------------------------------------------------------------------------------------------------------

    def _handle(self, events: list[tuple[int, int]]) -> None:
        for fd, event in events:
            line = self._lines.get(fd)
            if line is None:
                self._timer.clear()
                continue
            if event & (select.EPOLLERR | select.EPOLLHUP) and not event & select.EPOLLIN:
                self._lose(line)
                continue
            if event & select.EPOLLOUT:
                self._send_rest(line)
            if event & select.EPOLLIN:
                self._receive(line)

    def _receive(self, line: Line) -> None:
        try:
            data = line.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(line)
            return
        got = line.got = line.got + data if line.got else data
        if not line.whole:
            line.head_end, line.whole = extent(got)
            if not line.whole:
                return
        if len(got) >= line.whole > 0 or (line.whole < 0 and got.endswith(b"0\r\n\r\n")):
            self._answered(line, got)

    def _answered(self, line: Line, got: bytes) -> None:
        latency = time.monotonic_ns() - line.due
        status, tally = got[9:12], self._tally
        if status == b"200":
            tally.ok.append(latency)
        elif status == b"503" and b"retry-after:" in got[: line.head_end].lower():
            tally.shed.append(latency)
        else:
            key = status.decode("latin-1")
            tally.other[key] = tally.other.get(key, 0) + 1
        self._out -= 1
        line.due = line.whole = 0
        line.got = b""
        if b"onnection: close" in got[: line.head_end]:
            self._drop(line)
        else:
            self._give_back(line)

    def _found(self, count: int, seconds: float, cpu: float) -> Found:
        tally = self._tally
        sent = count - len(self._waiting)
        return Found(
            wanted=self._plan.per_second,
            sent=sent / seconds,
            done=sent,
            ok=len(tally.ok),
            ok_us=_percentiles(tally.ok),
            shed=len(tally.shed),
            shed_us=_percentiles(tally.shed),
            other=tally.other,
            broken=tally.broken,
            unanswered=self._out + len(self._waiting),
            late_us=_percentiles(tally.late),
            cpu_us=cpu / count * 1e6,
        )


def _percentiles(values: list[int]) -> tuple[float, ...]:
    """p50, p99, p99.9 and the maximum, from nanoseconds to microseconds; zeros where there are none."""
    if not values:
        return (0.0, 0.0, 0.0, 0.0)
    values.sort()
    last = len(values) - 1
    return tuple(values[min(last, int(share * len(values)))] / 1e3 for share in (0.5, 0.99, 0.999, 1.0))


def main() -> None:
    """Read a plan, write the findings."""
    gc.disable()  # a collection would make requests late
    plan = Plan(**json.loads(sys.stdin.read()))
    print(json.dumps(asdict(Driver(plan).run())))


if __name__ == "__main__":
    main()
