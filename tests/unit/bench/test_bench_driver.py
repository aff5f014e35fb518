"""The open-loop driver against a real socket server that answers as it is told."""

import itertools
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.benchmarks.bench.driver import Driver
from tests.benchmarks.bench.open_loop import Found, Plan, drive, request_bytes
from tests.benchmarks.bench.wire import extent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
SHED = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno"
Answer = Callable[[int], bytes]
Serve = Callable[[Answer], AbstractContextManager[int]]


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """A server whose n-th request, whatever it is, gets `answer(n)`; empty bytes end the connection."""
    numbers = itertools.count()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                length = 0
                while line.strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = self.rfile.readline()
                self.rfile.read(length)
                told = answer(next(numbers))
                self.wfile.write(told)
                if not told or b"Connection: close" in told:
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join(10)


def plan(port: int, *, per_second: float = 200, seconds: float = 0.2, connections: int = 4, most: int = 8) -> Plan:
    request = request_bytes(f"http://127.0.0.1:{port}/x?y=1", b"{}", {"Content-Type": "application/json"})
    return Plan("127.0.0.1", port, request.decode("latin-1"), per_second, seconds, connections, most)


def sent_to(answer: Answer, **how: float) -> Found:
    with serving(answer) as port:
        return Driver(plan(port, **how)).run()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "ok", "shed", "other", "broken"),
    [
        (lambda _: OK, 40, 0, {}, 0),
        (lambda _: SHED, 0, 40, {}, 0),
        (lambda n: SHED if n % 2 else OK, 20, 20, {}, 0),
        (lambda _: SHED.replace(b"Retry-After: 1\r\n", b""), 0, 0, {"503": 40}, 0),
        (lambda _: OK.replace(b"200 OK", b"429 No"), 0, 0, {"429": 40}, 0),
        (lambda _: OK.replace(b"Content-Length", b"Connection: close\r\ncontent-length"), 40, 0, {}, 0),
        (lambda _: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 40, 0, {}, 0),
        (lambda _: b"", 0, 0, {}, 40),
    ],
    ids=["ok", "shed", "both", "503 without Retry-After", "other", "closing", "chunked", "hung up"],
)
def test_each_request_is_counted_once_by_what_came_of_it(
    answer: Answer, ok: int, shed: int, other: dict[str, int], broken: int
) -> None:
    found = sent_to(answer)
    assert (found.ok, found.shed, found.other, found.broken, found.unanswered) == (ok, shed, other, broken, 0)
    assert found.failed == 40 - ok


def test_latency_counts_from_the_due_time_and_not_from_the_sending() -> None:
    def slow(_: int) -> bytes:
        time.sleep(0.1)
        return OK

    found = sent_to(slow, per_second=50, seconds=0.2, connections=1, most=1)
    # 10 requests, due within 0.2 s, one at a time over 1 s: the last one has waited for the nine before it.
    assert found.ok == 10
    assert found.ok_us[3] >= (10 * 0.1 - 0.2) * 1e6
    assert found.ok_us[0] >= 0.3e6


def test_more_connections_are_opened_when_none_is_free() -> None:
    together = threading.Barrier(6)

    def meet(_: int) -> bytes:
        together.wait(10)
        return OK

    found = sent_to(meet, per_second=300, seconds=0.02, connections=1, most=6)
    assert (found.ok, found.unanswered) == (6, 0)


def test_it_runs_as_a_process_of_its_own() -> None:
    with serving(lambda _: OK) as port:
        found = drive(plan(port))
    assert found.ok == 40
    assert found.wanted == 200


@pytest.mark.parametrize("whole", [OK, OK.lower(), OK.replace(b"Content-Length: 2", b"Content-Type: a/b\r\ncontent-length:2")])
def test_an_answer_is_as_long_as_its_head_says(whole: bytes) -> None:
    assert extent(whole + b"more") == (whole.index(b"\r\n\r\n"), len(whole))


def test_half_a_head_has_no_length_and_chunks_say_it_themselves() -> None:
    assert extent(b"HTTP/1.1 200 OK\r\nContent-Len") == (0, 0)
    assert extent(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n")[1] == -1
