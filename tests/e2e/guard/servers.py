"""A real `mlflow server --app-name stagedoor`: SQLite, one worker, a process group of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from stagedoor.auth import issue_token
from stagedoor.settings import Settings


@dataclass(frozen=True)
class Server:
    url: str
    settings: Settings
    log: Path

    def token(self, role: str, subject: str = "") -> str:
        return issue_token(self.settings, subject=subject or f"the-{role}", roles=[role], now=time.time())

    def bearer(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(role)}"}

    def ask(self, method: str, path: str, role: str | None = None, **options: Any) -> requests.Response:
        headers = {**options.pop("headers", {}), **(self.bearer(role) if role else {})}
        return requests.request(method, f"{self.url}{path}", headers=headers, timeout=20, allow_redirects=False, **options)


def launch(folder: Path, port: int, *, workers: int, **extra: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "stagedoor", "--workers", str(workers)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--artifacts-destination", str(folder / "artifacts")]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            command, env=environment(**extra), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "STAGEDOOR_"))}
    root = Path(__file__).parents[3]
    return {
        **kept,
        "PYTHONPATH": f"{root / 'platform'}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        **extra,
    }


def wait_until_healthy(server: Server, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if server.ask("GET", "/health").ok:
                return
        time.sleep(0.2)
    pytest.fail(f"the MLflow server did not start:\n{server.log.read_text()[-3000:]}")


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """The launcher leaves its uvicorn child behind when it is killed, so the whole group goes."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
