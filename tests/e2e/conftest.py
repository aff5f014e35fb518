"""A gateway and its resolver beside an MLflow server that the tests own: stopped, killed and replaced as they like."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from stagedoor.auth import issue_token
from stagedoor.local import specs
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

COMMAND = (sys.executable, "-c", "from stagedoor.cli import main; main(prog_name='stagedoor')")
POLL_SECONDS = 0.5
STALE_AFTER_SECONDS = 2.0

Files = Mapping[str, bytes]


def _until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return found


def quiet_port() -> int:
    """A free port that no outgoing connection is given: it stays free while the server that has it is dead."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(20_000, 30_000)))  # noqa: S311  no secret
            return int(probe.getsockname()[1])


def times(factor: float) -> Files:
    """A logged model that multiplies its number: whoever answers is known by the product."""
    from onnx import TensorProto, helper

    number = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("x", "y")]
    weight = helper.make_tensor("k", TensorProto.FLOAT, [1, 1], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "k"], ["y"])], "times", number[:1], number[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return {"MLmodel": b"flavors:\n  onnx:\n    data: model.onnx\n", "model.onnx": model.SerializeToString()}


class Trickle:
    """Steady predictions for one model, one at a time, until it is left; what came back is kept."""

    def __init__(self, site: "Site", model: str) -> None:
        self._site, self._model = site, model
        self.answers: list[tuple[int, str, float | None]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with requests.Session() as session:
            while not self._stop.wait(0.03):
                self.answers.append(self._site.predict(self._model, session))

    def kinds(self) -> set[tuple[int, str, float | None]]:
        """Each kind of answer that came: status, version, product of 1."""
        return set(self.answers)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "a prediction hangs"


class Site:
    """MLflow as `up` starts it, in a process group of the test's own, and `stagedoor gateway` beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = StatePaths(folder / "state")
        self.mlflow_port, self.gateway_port = quiet_port(), quiet_port()
        self.mlflow_url = f"http://127.0.0.1:{self.mlflow_port}"
        self.gateway_url = f"http://127.0.0.1:{self.gateway_port}"
        settings = Settings(state_dir=self.paths.root)
        roles = ["promoter", "predictor"]
        self.token = issue_token(settings, subject="test", roles=roles, models=("*",), lifetime_seconds=3600, now=time.time())
        self._mlflow: subprocess.Popen[bytes] | None = None
        self._gateway: subprocess.Popen[bytes] | None = None
        self._env = {key: text for key, text in os.environ.items() if not key.startswith(("STAGEDOOR_", "MLFLOW_"))}

    def start_mlflow(self) -> None:
        key = specs.webhook_key(self.paths)
        spec = specs.mlflow_server(self.paths, "127.0.0.1", self.mlflow_port, webhook_key=key)
        with (self.folder / "mlflow.log").open("ab") as log:
            self._mlflow = subprocess.Popen(
                spec.command,
                cwd=spec.folder,
                env=self._env | dict(spec.environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _until(lambda: self._answers(spec.ready_url), 120, "MLflow answers")

    def signal_mlflow(self, number: int) -> None:
        """All of its processes; a killed one is waited for."""
        assert self._mlflow is not None
        os.killpg(self._mlflow.pid, number)
        if number == signal.SIGKILL:
            self._mlflow.wait(10)

    def start_gateway(self) -> None:
        ours = {
            "STAGEDOOR_POLL_SECONDS": str(POLL_SECONDS),
            "STAGEDOOR_STALE_AFTER_SECONDS": str(STALE_AFTER_SECONDS),
            "STAGEDOOR_REGISTRY_TIMEOUT_SECONDS": "1",
        }
        arguments = ("gateway", "--state", str(self.paths.root), "--mlflow", self.mlflow_url, "--port", str(self.gateway_port))
        with (self.folder / "gateway.log").open("ab") as log:
            self._gateway = subprocess.Popen(
                (*COMMAND, *arguments), env=self._env | ours, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        _until(lambda: self._answers(f"{self.gateway_url}/readyz"), 120, "the gateway is ready")

    def end_gateway(self) -> None:
        assert self._gateway is not None
        os.kill(self._gateway.pid, signal.SIGTERM)
        assert self._gateway.wait(60) == 0

    def close(self) -> None:
        if self._gateway is not None and self._gateway.poll() is None:
            self.end_gateway()
        if self._mlflow is not None and self._mlflow.poll() is None:
            self.signal_mlflow(signal.SIGCONT)
            self.signal_mlflow(signal.SIGKILL)

    def _answers(self, address: str) -> bool:
        try:
            return requests.get(address, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    # --- MLflow's side ---

    def mlflow(self, method: str, path: str, **what: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.request(method, f"{self.mlflow_url}/api/2.0/{path}", headers=headers, timeout=30, **what)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else None

    def register(self, name: str, files: Files) -> str:
        """Log these files as a model and register it, as a client does; gives the version."""
        run = self.mlflow("POST", "mlflow/runs/create", json={"experiment_id": "0"})["run"]["info"]
        for path, body in files.items():
            place = run["artifact_uri"].removeprefix("mlflow-artifacts:").lstrip("/")
            self.mlflow("PUT", f"mlflow-artifacts/artifacts/{place}/model/{path}", data=body)
        with contextlib.suppress(AssertionError):  # it exists
            self.mlflow("POST", "mlflow/registered-models/create", json={"name": name})
        made = {"name": name, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
        return str(self.mlflow("POST", "mlflow/model-versions/create", json=made)["model_version"]["version"])

    def point(self, name: str, version: str, alias: str = "champion") -> None:
        self.mlflow("POST", "mlflow/registered-models/alias", json={"name": name, "alias": alias, "version": version})

    def delete(self, name: str) -> None:
        """The whole registered model; returns once the gateway has noticed."""
        self.mlflow("DELETE", "mlflow/registered-models/delete", json={"name": name})
        _until(lambda: name not in {model["name"] for model in self.status()["models"]}, 20, f"{name} is gone")

    # --- what is registered ---

    times = staticmethod(times)

    # --- the gateway's side ---

    def trickle(self, model: str) -> Trickle:
        return Trickle(self, model)

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.gateway_url}{path}", headers={"Authorization": f"Bearer {self.token}"}, timeout=10)

    def predict(self, model: str, session: requests.Session | None = None) -> tuple[int, str, float | None]:
        """Status, version and the product for 1."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        address = f"{self.gateway_url}/models/{model}/invocations"
        answer = (session or requests).post(address, data=b'{"inputs": [[1.0]]}', headers=headers, timeout=10)
        if answer.status_code != 200:
            return answer.status_code, "", None
        return 200, answer.headers["X-Model-Version"], _only_number(answer.json()["predictions"])

    def serves(self, model: str, version: str) -> bool:
        """Whether version `version` answers, and no other, however often one asks."""
        return {self.predict(model)[:2] for _ in range(12)} == {(200, version)}

    def status(self) -> Any:
        answer = self.get("/status")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def staleness(self) -> float:
        """What the metric says."""
        (found,) = re.findall(r"^stagedoor_registry_staleness_seconds (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(found)

    def command(self, *arguments: str) -> str:
        """What `stagedoor status` prints."""
        asked = (*COMMAND, "status", "--gateway", self.gateway_url, "--token", self.token, "--state", str(self.paths.root))
        return subprocess.run((*asked, *arguments), capture_output=True, text=True, timeout=60, check=True).stdout


def _only_number(found: Any) -> float:
    while isinstance(found, dict | list):
        (found,) = found.values() if isinstance(found, dict) else found
    return float(found)


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], Any], float, str], Any]:
    """Wait for a condition; fails with the words given once the seconds are over."""
    return _until


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Nothing is registered yet."""
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.start_mlflow()
        site.start_gateway()
        yield site
    finally:
        site.close()
