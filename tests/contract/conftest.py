"""Real MLflow servers for whoever in this folder asks for them: one open, on SQLite; one guarded, on PostgreSQL."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from stagedoor.auth import issue_token
from stagedoor.settings import Settings
from tests.postgres import Cluster

from .worlds import GUARDED, RealMLflow, Twin, World


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def _mlflow(folder: Path, store: str, *options: str, **environment: str) -> Iterator[str]:
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *options]
    command += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
    env = {name: text for name, text in os.environ.items() if not name.startswith(("MLFLOW_", "STAGEDOOR_"))}
    env |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", **environment}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", server, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # the launcher leaves its uvicorn child behind, so the group goes
        server.wait(10)


def _wait_until_ready(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if requests.get(f"{url}/health", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    pytest.fail(f"mlflow server did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with _mlflow(folder, f"sqlite:///{folder}/mlflow.db") as url:
        yield url


@pytest.fixture(scope="session")
def guarded_mlflow(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[tuple[str, str]]:
    """Its address, and an admin's token."""
    folder = tmp_path_factory.mktemp("guarded")
    settings = Settings(state_dir=folder / "state")
    token = issue_token(settings, subject="ann", roles=["admin"], lifetime_seconds=7200, now=time.time())
    with _mlflow(folder, postgres.database(), "--app-name", "stagedoor", STAGEDOOR_STATE_DIR=str(settings.state_dir)) as url:
        yield url, token


@pytest.fixture(params=["mlflow", *GUARDED])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    if request.param == "twin":
        yield Twin(page_size=2)
        return
    token = None
    if request.param == "mlflow":
        url = request.getfixturevalue("mlflow_url")
    else:
        url, token = request.getfixturevalue("guarded_mlflow")
    for key in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if token:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    yield RealMLflow(url, token)


@pytest.fixture
def name() -> str:
    return f"fraud-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    numbers = itertools.count()

    def make(files: Mapping[str, bytes]) -> Path:
        root = tmp_path / f"source-{next(numbers)}"
        root.mkdir()
        for path, body in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(body)
        return root

    return make
