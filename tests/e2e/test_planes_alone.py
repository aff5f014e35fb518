"""`stagedoor mlflow` and `stagedoor gateway`: each plane alone, meeting over HTTP only."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COMMAND = (sys.executable, "-c", "from stagedoor.cli import main; main(prog_name='stagedoor')")


def _start(log: Path, *arguments: str) -> tuple["subprocess.Popen[bytes]", str]:
    """Start it and wait until it says where it runs."""
    with log.open("wb") as output:
        process = subprocess.Popen((*COMMAND, *arguments), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    end = time.monotonic() + 150
    while not (found := re.search(r"Running: .*(http://\S+)\. Ctrl-C", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    return process, found[1]


def _end(process: "subprocess.Popen[bytes]") -> int:
    os.kill(process.pid, signal.SIGTERM)
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def test_a_gateway_follows_an_mlflow_that_was_started_by_itself(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"), "--port", "0")
    mlflow, mlflow_url = _start(tmp_path / "mlflow.log", "mlflow", *state)
    try:
        assert requests.get(f"{mlflow_url}/health", timeout=30).status_code == 200
        assert requests.get(f"{mlflow_url}/api/2.0/mlflow/registered-models/search", timeout=30).status_code == 401
        gateway, gateway_url = _start(tmp_path / "gateway.log", "gateway", *state, "--mlflow", mlflow_url, "--workers", "1")
        try:
            assert requests.get(f"{gateway_url}/readyz", timeout=30).json()["registry_error"] is None
        finally:
            assert _end(gateway) == 0
    finally:
        assert _end(mlflow) == 0
