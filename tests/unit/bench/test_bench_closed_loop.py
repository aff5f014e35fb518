"""wrk on small servers, one or several at once."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("benchmarks"),
    pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed here"),
]


class Server(ThreadingHTTPServer):
    """Answers with one status, and knows how many callers it has had."""

    daemon_threads = True

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.seen: Counter[tuple[str, int]] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/x"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen[self.client_address] += 1
        self.wfile.write(f"HTTP/1.1 {self.server.status} Status\r\nContent-Length: 0\r\n\r\n".encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its own name
        pass


@contextmanager
def serving(*statuses: int) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(status)) for status in statuses]
        threads = [threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}) for one in servers]
        for one, thread in zip(servers, threads, strict=True):
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(one.shutdown)
        yield servers


def test_connections_are_shared_out_among_several_servers_and_their_answers_are_added_up() -> None:
    from peers.contract import Running  # type: ignore[import-not-found]

    from tests.benchmarks.bench.closed_loop import Several, closed_loop

    with serving(200, 500) as servers:
        parts = [Running(one.url, b"{}", os.getpid()) for one in servers]
        found = closed_loop(Several.of(*parts), connections=4, seconds=1)
    # wrk asks with one more connection first, to see whether anyone is there.
    assert [len([caller for caller, number in one.seen.items() if number > 1]) for one in servers] == [2, 2]
    good, bad = (one.seen.total() for one in servers)
    assert good > 20
    assert bad > 20
    assert found.failed <= bad
    assert found.failed >= bad - 4  # under way when wrk ended
    assert 0.8 * (good + bad) <= found.done <= good + bad
    assert 0.5 * good < found.rate < 1.05 * good
    assert found.cpu_us > 0


def test_a_server_that_is_driven_twice_is_counted_once() -> None:
    from peers.contract import Running

    from tests.benchmarks.bench.closed_loop import Several, processes_of

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        mine, other = Running("http://127.0.0.1/", b"", os.getpid()), Running("http://127.0.0.1/", b"", child.pid)
        found = processes_of(Several.of(other, other, mine))
        child.communicate(b"\n", timeout=20)
    assert found.count(child.pid) == 1
    assert set(found) >= {child.pid, os.getpid()}


def test_when_one_wrk_fails_the_others_are_ended_at_once() -> None:
    from peers.contract import Running

    from tests.benchmarks.bench.closed_loop import Several, closed_loop

    with serving(200) as (server,):
        parts = Running("http://127.0.0.1:1/x", b"{}", os.getpid()), Running(server.url, b"{}", os.getpid())
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="wrk ended with 1"):
            closed_loop(Several.of(*parts), connections=2, seconds=30)
        assert time.monotonic() - began < 25
