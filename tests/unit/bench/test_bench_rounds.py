"""The contest with real load on small servers of its own."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.bench.document import Closed, Memory, Missing, Open, Start
from tests.benchmarks.bench.options import Effort

EFFORT = Effort(
    rounds=1, seconds=1, warm_seconds=1, open_seconds=0.2, overload_seconds=1, light_seconds=1, restarts=1, inside_repeats=1
)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed here")]


class Handler(BaseHTTPRequestHandler):
    """Sends each body back, or a failure where the server's name says so."""

    protocol_version = "HTTP/1.1"
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(f"HTTP/1.1 {self.status} Status\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its own name
        pass


class Failing(Handler):
    status = 500


class Small:
    """A peer of one thread pool in this process."""

    workloads = frozenset({"linear"})

    def __init__(self, name: str, handler: type[Handler] = Handler, lacking: str | None = None, broken: str = "") -> None:
        self.name, self._handler, self._lacking, self._broken = name, handler, lacking, broken

    def version(self) -> str:
        return "1"

    def install(self) -> None:
        raise AssertionError("measuring never installs")

    def missing(self) -> str | None:
        return self._lacking

    @contextmanager
    def start(self, workload: Any, logs: Path) -> Iterator[Any]:
        from peers.contract import Running  # type: ignore[import-not-found]

        if self._broken:
            raise RuntimeError(self._broken)
        with ThreadingHTTPServer(("127.0.0.1", 0), self._handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield Running(f"http://127.0.0.1:{server.server_address[1]}/x", workload.mlflow_body(), os.getpid())
            finally:
                server.shutdown()
                thread.join(10)


def test_each_server_gets_its_turn_and_one_that_cannot_be_measured_is_told(benchmarks: None, tmp_path: Path) -> None:
    from peers.contract import Workload

    from tests.benchmarks.bench.rounds import contest

    workload = Workload("linear", tmp_path, tmp_path, np.zeros((1, 3), np.float32), ())
    peers = (
        Small("echo"),
        Small("failing", Failing),
        Small("absent", lacking="not installed: make bench-peers"),
        Small("broken", broken="it ended: see /some/where/of/this/machine/log.txt"),
    )
    rows = list(contest(peers, workload, tmp_path, EFFORT, levels=(1, 16)))

    closed = {(row.server, row.connections): row for row in rows if isinstance(row, Closed)}
    assert set(closed) == {("echo", 1), ("echo", 16), ("failing", 1), ("failing", 16)}
    assert all(row.done > 0 and 0 < row.p50_us <= row.p99_us <= row.p999_us for row in closed.values())
    assert closed["echo", 16].failed == 0
    assert closed["echo", 16].rate > 0
    assert closed["failing", 16].rate == 0
    assert closed["failing", 16].failed == closed["failing", 16].done
    half = {row.server: row for row in rows if isinstance(row, Open)}
    assert half["echo"].wanted == closed["echo", 16].rate / 2
    assert half["echo"].failed == 0
    assert set(half) == {"echo"}
    assert {row.server for row in rows if isinstance(row, Start)} == {"echo", "failing"}
    assert all(row.pss_mb > 1 for row in rows if isinstance(row, Memory))
    assert {row.server: row.why for row in rows if isinstance(row, Missing)} == {
        "absent": "not installed: make bench-peers",
        "broken": "RuntimeError: it ended: see log.txt",
        "failing": "RuntimeError: it gave no good answer under load",
    }
