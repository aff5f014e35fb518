"""How a gateway ends: soon, whoever still holds a connection, and never under an answer."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import read_answer

pytestmark = pytest.mark.slow


@pytest.fixture
def empty_gateway(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """A gateway of one worker that serves nothing yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "gunicorn", "-c", "python:serving.gunicorn_conf", "--bind", f"127.0.0.1:{port}", "-w", "1",
        "serving.asgi:app",
    ]  # fmt: skip
    environment = os.environ | {"STAGEDOOR_STATE_DIR": str(tmp_path / "state")}
    with (tmp_path / "log").open("wb") as sink:
        child = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.1)
        yield child, port
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(5)


def test_an_idle_connection_does_not_hold_up_the_end(empty_gateway: tuple["subprocess.Popen[bytes]", int]) -> None:
    child, port = empty_gateway
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n")
        assert read_answer(connection, 0).status == 200
        child.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert child.wait(20) == 0
        assert time.monotonic() - started < 10  # graceful_timeout is 30: waiting for the idle one would take all of it
        assert connection.recv(1) == b""


def test_an_ending_worker_tells_its_callers_to_go(empty_gateway: tuple["subprocess.Popen[bytes]", int]) -> None:
    child, port = empty_gateway
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n")
        assert "connection" not in read_answer(connection, 0).headers
        child.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n")
        answer = read_answer(connection, 0)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert connection.recv(1) == b""
