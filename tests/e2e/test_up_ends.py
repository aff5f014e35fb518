"""How `stagedoor up` ends, and when it does not begin."""

import signal
import socket
import subprocess
from pathlib import Path

import pytest
import requests

from .house import COMMAND, GATES_SECONDS, Up, belonging_to, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_taken_port_ends_it_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        arguments = (
            "up",
            "--state",
            str(tmp_path),
            "--gateway-port",
            "0",
            "--controller-port",
            "0",
            "--mlflow-port",
            str(port),
        )
        result = subprocess.run((*COMMAND, *arguments), capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert result.stderr == f"Error: Port {port} for the MLflow server is taken. Choose another with --mlflow-port PORT.\n"
    assert belonging_to(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "options"),
    [(signal.SIGINT, ()), (signal.SIGKILL, ()), (signal.SIGINT, ("--no-controller",))],
    ids=["ctrl-c", "kill -9", "no controller"],
)
def test_an_empty_house_ends_without_leftovers(tmp_path: Path, number: signal.Signals, options: tuple[str, ...]) -> None:
    up = Up(tmp_path / "state", *options)
    try:
        assert len(belonging_to(up.state)) > 4
        if options:
            assert up.endpoints["controller"] is None
        else:
            until(lambda: requests.get(f"{up.endpoints['controller']}/readyz", timeout=30).status_code == 200, GATES_SECONDS)
        assert set(up.endpoints["tokens"]) == {"admin", "promoter", "predictor"}
        code = up.end(number)
    finally:
        up.close()
    assert code == (0 if number == signal.SIGINT else -signal.SIGKILL)
    until(lambda: belonging_to(up.state) == [], 30)
