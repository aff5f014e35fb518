"""The first pyfunc version of a running gateway: served soon, then shared by new workers, and no request is lost for it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from onnx import TensorProto, helper

from serving.renewal import REST_SECONDS
from serving.snapshot_file import write_snapshot
from serving.store import Store
from stagedoor.auth import issue_token
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

pytestmark = pytest.mark.slow

SECONDS = 300
"""For what takes ten on an idle machine."""

CODE = """
import mlflow
from mlflow.pyfunc.model import PythonModel

class Double(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input * 2

mlflow.models.set_model(Double())
"""


@dataclass(frozen=True)
class Running:
    """A gateway of two workers, whose master is `pid`."""

    pid: int
    url: str
    headers: dict[str, str]
    paths: StatePaths
    log: Path

    def ask(self, model: str, session: Any = requests) -> int:
        body = {"inputs": [[1.0, 2.0]]}
        url = f"{self.url}/models/{model}/invocations"
        return int(session.post(url, json=body, headers=self.headers, timeout=60).status_code)

    def is_answered(self, model: str) -> bool:
        with contextlib.suppress(requests.RequestException):
            return self.ask(model) == 200
        return False

    def serial(self, pid: int) -> int:
        """Which snapshot a worker has in force; 0 while it is not known."""
        with contextlib.suppress(OSError):
            return int(json.loads((self.paths.workers / f"{pid}.json").read_bytes())["serial"])
        return 0

    def workers(self) -> set[int]:
        return {int(file.stem) for file in self.paths.workers.glob("*.json")}

    def said(self, event: str) -> int:
        return self.log.read_text().count(event)


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.1)


def private_kib(pid: int) -> int:
    """What the process alone holds of memory that is no file."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in rollup if line.startswith("Private_Dirty:")))


def entry(name: str, digest: str, flavor: str) -> ModelEntry:
    route = Route(1, (Arm("champion", "1", 10_000),), b"s" * 16)
    return ModelEntry(name, route=route, versions={"1": VersionEntry("1", "ready", digest, flavor, 1_000_000)})


def put(store: Store, folder: Path, flavors: dict[str, Any], dtype: str, model: bytes) -> str:
    """Write a model that takes pairs of `dtype`, as MLflow would, and take it into the store."""
    inputs = [{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, 2]}}]
    folder.mkdir()
    (folder / "MLmodel").write_text(json.dumps({"flavors": flavors, "signature": {"inputs": json.dumps(inputs)}}))
    (folder / "model.py").write_bytes(model)
    return store.ingest(lambda into: shutil.copytree(folder, into, dirs_exist_ok=True))


@pytest.fixture
def models(tmp_path: Path) -> dict[str, ModelEntry]:
    """An ONNX model and a PythonModel in the store of the state folder."""
    store = Store(StatePaths(tmp_path / "state").store, 10**9)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "XY"]
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "same", ends[:1], ends[1:])
    same = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    onnx = {"onnx": {"data": "model.py"}}
    code = {
        "python_function": {"loader_module": "mlflow.pyfunc.model", "model_code_path": "model.py", "python_version": "3.11.0"}
    }
    return {
        "same": entry("same", put(store, tmp_path / "same", onnx, "float32", same), "onnx"),
        "double": entry("double", put(store, tmp_path / "double", code, "float64", CODE.encode()), "python_function"),
    }


@pytest.fixture
def gateway(tmp_path: Path, models: dict[str, ModelEntry]) -> Iterator[Running]:
    """A gateway whose snapshot names the ONNX model."""
    paths = StatePaths(tmp_path / "state")
    write_snapshot(paths.snapshot, Snapshot(1, {"same": models["same"]}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(state_dir=paths.root)
    token = issue_token(settings, subject="ann", roles=("tester",), models=("*",), lifetime_seconds=3600, now=time.time())
    command = [
        sys.executable, "-P", "-m", "gunicorn", "-c", "python:serving.gunicorn_conf", "--bind", f"127.0.0.1:{port}",
        "--workers", "2", "serving.asgi:app",
    ]  # fmt: skip
    environment = os.environ | {
        "STAGEDOOR_STATE_DIR": str(paths.root),
        "STAGEDOOR_PREDICT_TIMEOUT_SECONDS": "30",
        "STAGEDOOR_QUEUE_MILLISECONDS": "10000",  # a machine that is busy with other tests is no overload
        "STAGEDOOR_MODEL_QUEUE_MILLISECONDS": "10000",
    }
    log = tmp_path / "gateway.log"
    with log.open("wb") as sink:
        child = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        running = Running(child.pid, url, {"Authorization": f"Bearer {token}"}, paths, log)
        until(lambda: len(running.workers()) == 2 and running.is_answered("same"), "the gateway starts")
        yield running
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(45)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(5)


def test_the_first_pyfunc_version_is_shared_without_losing_a_request(gateway: Running, models: dict[str, ModelEntry]) -> None:
    first = gateway.workers()
    statuses: list[int | str] = []
    stop = threading.Event()

    def call(session: Any) -> None:
        while not stop.wait(0.1):
            try:
                statuses.append(gateway.ask("same", session))
            except requests.RequestException as error:
                statuses.append(repr(error))

    with requests.Session() as kept:
        callers = [threading.Thread(target=call, args=(session,)) for session in (kept, requests)]
        for caller in callers:
            caller.start()
        try:
            write_snapshot(gateway.paths.snapshot, Snapshot(2, models))
            until(lambda: gateway.is_answered("double"), "the first pyfunc version is served")
            until(lambda: all(gateway.serial(pid) == 2 for pid in first), "both workers serve it")
            alone = min(private_kib(pid) for pid in first)
            until(lambda: not first & gateway.workers() and len(gateway.workers()) == 2, "other workers")
            until(lambda: all(gateway.serial(pid) == 2 for pid in gateway.workers()), "the others serve it too")
            time.sleep(2 * REST_SECONDS)  # time in which somebody might ask again
        finally:
            stop.set()
            for caller in callers:
                caller.join(90)
    assert set(statuses) == {200}
    assert gateway.is_answered("double")
    assert (gateway.said("renewal_asked"), gateway.said("Hang up")) == (1, 1)
    assert max(private_kib(pid) for pid in gateway.workers()) < alone / 2
