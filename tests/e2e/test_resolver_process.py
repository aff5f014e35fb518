"""A real resolver process over a real MLflow: models logged as people do, promoted, served files on disk, MLflow stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from serving.snapshot_file import demand_version, read_heartbeat, read_snapshot, request_nudge
from serving.store import folder_of, verify
from stagedoor.paths import StatePaths

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

TRAIN = """
import sys, mlflow, numpy as np
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
mlflow.set_tracking_uri(sys.argv[1])
x = np.arange(12.0).reshape(6, 2)
for slope in (1.0, 2.0):
    model = LinearRegression().fit(x, slope * x[:, 0])
    with mlflow.start_run():
        mlflow.sklearn.log_model(model, name="model", registered_model_name="line",
                                 signature=infer_signature(x, model.predict(x)),
                                 input_example=x[:1], pip_requirements=[], serialization_format="skops")
client = mlflow.MlflowClient(sys.argv[1])
run = client.create_run("0")
client.log_text(run.info.run_id, "flavors: {nothing: {}}", "bad/MLmodel")
client.create_model_version("line", run.info.artifact_uri + "/bad", run.info.run_id)
client.set_registered_model_alias("line", "champion", "1")
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Running:
    """An MLflow server and a resolver, each in a process group of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = StatePaths(root / "state")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.groups: list[subprocess.Popen[bytes]] = []
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("STAGEDOOR_", "MLFLOW_"))},
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "STAGEDOOR_STATE_DIR": str(self.paths.root),
            "STAGEDOOR_MLFLOW_URL": self.url,
            "STAGEDOOR_POLL_SECONDS": "0.5",
            "STAGEDOOR_REGISTRY_TIMEOUT_SECONDS": "2",
            "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}",
        }

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=self.root, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        self.groups.append(process)
        return process

    def start_mlflow(self) -> "subprocess.Popen[bytes]":
        store = ["--backend-store-uri", f"sqlite:///{self.root}/m.db", "--artifacts-destination", str(self.root / "artifacts")]
        server = self.start("-m", "mlflow", "server", "--port", str(self.port), "--workers", "1", *store)
        self.wait_for(self._mlflow_answers, 120)
        return server

    def start_resolver(self) -> "subprocess.Popen[bytes]":
        return self.start("-m", "serving.resolver")

    def _mlflow_answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    def wait_for(self, condition: Callable[[], object], seconds: float) -> float:
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                pytest.fail(f"not within {seconds} s; log:\n{(self.root / 'log').read_text()[-3000:]}")
            time.sleep(0.01)
        return time.monotonic() - began

    def live(self) -> str | None:
        if not self.paths.snapshot.exists():
            return None
        entry = read_snapshot(self.paths.snapshot).models.get("line")
        return entry.route.stable.version if entry and entry.route else None

    def state(self, version: str) -> str | None:
        entry = read_snapshot(self.paths.snapshot).models["line"].versions.get(version)
        return f"{entry.state} {entry.code}".strip() if entry else None

    def promote(self, version: str) -> None:
        body = {"name": "line", "alias": "champion", "version": version}
        requests.post(f"{self.url}/api/2.0/mlflow/registered-models/alias", json=body, timeout=10).raise_for_status()

    def error(self) -> str | None:
        heartbeat = read_heartbeat(self.paths.heartbeat)
        return heartbeat.error if heartbeat else None

    def end(self) -> None:
        for process in self.groups:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGCONT)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    try:
        yield running
    finally:
        running.end()


def test_a_resolver_follows_a_real_registry_through_its_troubles(running: Running) -> None:
    mlflow = running.start_mlflow()
    trained = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAIN, running.url],
        env=running.env,
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert trained.returncode == 0, trained.stderr.decode()[-3000:]
    resolver = running.start_resolver()

    # The first version comes from nothing: fetched, hashed, probed in a process of its own.
    running.wait_for(lambda: running.live() == "1", 90)
    entry = read_snapshot(running.paths.snapshot).models["line"].versions["1"]
    verify(folder_of(running.paths.store, entry.digest), entry.digest)
    assert entry.flavor == "python_function"
    assert entry.memory_bytes > 0

    # The newest version is looked at before anyone points at it; this one has no flavor.
    running.wait_for(lambda: running.state("3") not in {None, "pending"}, 60)
    assert running.state("3") == "refused unsupported_flavor"
    running.promote("3")
    running.wait_for(lambda: read_snapshot(running.paths.snapshot).models["line"].problems, 10)
    assert running.live() == "1"

    # A pinned version on demand, and one that does not exist.
    demand_version(running.paths, "line", "2")
    demand_version(running.paths, "line", "77")
    running.wait_for(lambda: running.state("77") == "refused model_not_found", 20)
    running.wait_for(lambda: running.state("2") == "ready", 60)

    # Known versions: a nudge makes the move at once, and a poll soon.
    running.promote("2")
    request_nudge(running.paths)
    assert running.wait_for(lambda: running.live() == "2", 10) < 2
    running.promote("1")
    assert running.wait_for(lambda: running.live() == "1", 10) < 3

    # MLflow stopped, not dead: nothing changes, the heartbeat says so, and the resolver itself ends at once.
    os.killpg(mlflow.pid, signal.SIGSTOP)
    running.wait_for(lambda: running.error() is not None, 20)
    assert running.live() == "1"
    resolver.send_signal(signal.SIGTERM)
    assert resolver.wait(2) == 0

    # A cold start without MLflow keeps what there was, and goes on when MLflow is back.
    before = read_snapshot(running.paths.snapshot)
    resolver = running.start_resolver()
    attempted = time.time()
    running.wait_for(lambda: (beat := read_heartbeat(running.paths.heartbeat)) and beat.attempted_at > attempted, 30)
    assert read_snapshot(running.paths.snapshot).models["line"].route == before.models["line"].route
    os.killpg(mlflow.pid, signal.SIGCONT)
    running.promote("2")
    running.wait_for(lambda: running.live() == "2", 30)
    assert running.error() is None

    # Another one on the same state folder steps back with a clear word.
    second = subprocess.run(
        [sys.executable, "-m", "serving.resolver"],
        env=running.env,
        cwd=running.root,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 2
    assert b"Another resolver runs" in second.stderr
    lines = [json.loads(line) for line in (running.root / "log").read_text().splitlines() if line.startswith("{")]
    moves = [(line["from"], line["to"]) for line in lines if line["event"] == "route_changed"]
    assert moves[0] == (None, {"champion=1": 10000})
    assert moves[-1] == ({"champion=1": 10000}, {"champion=2": 10000})
