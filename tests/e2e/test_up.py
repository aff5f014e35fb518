"""`stagedoor up` as a person runs it: real processes, real models, real calls."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from stagedoor.demo.catalog import BREAST_CANCER, DIABETES, DIGITS, IRIS, MODELS, example_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COMMAND = (sys.executable, "-c", "from stagedoor.cli import main; main(prog_name='stagedoor')")
PROTOCOLS = ("mlflow", "v2", "simple")
START_SECONDS = 240


def _until(condition: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
    return found


def _belonging_to(state: Path) -> list[int]:
    """Every process that was started for this state folder, whoever its parent is now."""
    mark = f"STAGEDOOR_STATE_DIR={state}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            ours = entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if ours:
            found.append(int(entry.name))
    return found


class Up:
    """One `stagedoor up`, which can be ended and started again in the same folder."""

    def __init__(self, state: Path, *options: str) -> None:
        self.state = state
        self.options = options
        self.log = state.parent / "up.log"
        self.endpoints: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        with self.log.open("wb") as log:
            arguments = ("up", "--state", str(self.state), "--gateway-port", "0", "--mlflow-port", "0", *self.options)
            self.process = subprocess.Popen((*COMMAND, *arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        file = self.state / "endpoints.json"
        _until(lambda: file.exists() or self.process.poll() is not None, START_SECONDS)
        assert self.process.poll() is None, self.log.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        self.endpoints = json.loads(file.read_text())

    def end(self, number: int = signal.SIGTERM) -> int:
        os.kill(self.process.pid, number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def close(self) -> None:
        if self.process.poll() is None:
            self.end()

    def post(self, path: str, body: Path | bytes, role: str = "predictor") -> requests.Response:
        data = body.read_bytes() if isinstance(body, Path) else body
        headers = {"Authorization": f"Bearer {self.endpoints['tokens'][role]}", "Content-Type": "application/json"}
        return requests.post(f"{self.endpoints['gateway']}{path}", data=data, headers=headers, timeout=30)

    def predict(self, model: str, protocol: str = "mlflow") -> requests.Response:
        path = {
            "mlflow": f"/models/{model}/invocations",
            "v2": f"/v2/models/{model}/infer",
            "simple": f"/predict?model={model}",
        }
        return self.post(path[protocol], example_file(self.state / "examples", model.partition("@")[0], protocol))  # type: ignore[arg-type]

    def output(self) -> str:
        return self.log.read_text()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("house") / "state", "--demo")
    yield up
    up.close()


@pytest.fixture
def client(house: Up, monkeypatch: pytest.MonkeyPatch) -> Any:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", house.endpoints["tokens"]["promoter"])
    return MlflowClient(house.endpoints["mlflow"], house.endpoints["mlflow"])


def _first_answer(protocol: str, body: dict[str, Any]) -> Any:
    """The label, number or species that a demo model gave for its one row."""
    if protocol == "v2":
        return body["outputs"][0]["data"][0]
    found = body["predictions"]
    if isinstance(found, dict):
        return found["label"][0]
    first = found[0]
    return next(iter(first.values())) if isinstance(first, dict) else first


@pytest.mark.parametrize(("model", "expected"), [(BREAST_CANCER, 0), (DIGITS, 0), (DIABETES, 202.6386), (IRIS, "setosa")])
def test_every_demo_model_answers_the_same_through_every_protocol(house: Up, model: str, expected: Any) -> None:
    for protocol in PROTOCOLS:
        answer = house.predict(model, protocol)
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-Model-Name"] == model
        got = _first_answer(protocol, answer.json())
        assert got == (pytest.approx(expected, rel=1e-5) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("version", ["1", "2", "3"])
def test_one_body_fits_all_versions_of_breast_cancer(house: Up, version: str) -> None:
    body = example_file(house.state / "examples", BREAST_CANCER, "mlflow")
    answer = house.post(f"/models/{BREAST_CANCER}/{version}/invocations", body, role="promoter")
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Model-Version"] == version
    assert _first_answer("mlflow", answer.json()) == 0


def test_a_param_changes_the_answer(house: Up) -> None:
    body = json.loads(example_file(house.state / "examples", DIABETES, "mlflow").read_text())
    widths = []
    for coverage in (0.5, 0.99):
        answer = house.post(f"/models/{DIABETES}/invocations", json.dumps(body | {"params": {"coverage": coverage}}).encode())
        (row,) = answer.json()["predictions"]
        widths.append(row["upper"] - row["lower"])
    assert widths[1] > 2 * widths[0]


def test_moving_the_alias_moves_the_traffic_within_seconds(house: Up, client: Any) -> None:
    assert house.predict(BREAST_CANCER).headers["X-Model-Version"] == "2"
    try:
        client.set_registered_model_alias(BREAST_CANCER, "champion", "3")
        _until(lambda: {house.predict(BREAST_CANCER).headers["X-Model-Version"] for _ in range(8)} == {"3"}, 20)
    finally:
        client.set_registered_model_alias(BREAST_CANCER, "champion", "2")
    _until(lambda: {house.predict(BREAST_CANCER).headers["X-Model-Version"] for _ in range(8)} == {"2"}, 20)


def test_the_traffic_tag_splits_and_status_shows_it(house: Up, client: Any) -> None:
    client.set_registered_model_tag(BREAST_CANCER, "stagedoor.traffic", "champion=50,challenger=50")
    try:
        _until(lambda: {house.predict(BREAST_CANCER).headers["X-Model-Version"] for _ in range(16)} == {"2", "3"}, 20)
        shown = subprocess.run(
            (*COMMAND, "status", BREAST_CANCER, "--state", str(house.state)),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "challenger" in shown.stdout
        assert "50 %" in shown.stdout
        told = subprocess.run(
            (*COMMAND, "status", "--json", "--state", str(house.state)), capture_output=True, text=True, timeout=60, check=True
        )
        assert {model["name"] for model in json.loads(told.stdout)["models"]} == set(MODELS)
    finally:
        client.delete_registered_model_tag(BREAST_CANCER, "stagedoor.traffic")
    _until(lambda: {house.predict(BREAST_CANCER).headers["X-Model-Version"] for _ in range(16)} == {"2"}, 20)


def test_the_printed_curl_lines_work_when_pasted(house: Up) -> None:
    lines = [line for line in house.output().splitlines() if line.startswith("curl ")]
    assert len(lines) == 3
    for line in lines:
        result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
        assert re.match(r"HTTP/1.1 200 ", result.stdout), result.stdout
        assert "predictions" in result.stdout or "outputs" in result.stdout


README = Path(__file__).parents[2] / "README.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_readmes_python_works_when_pasted(house: Up, client: Any, tmp_path: Path) -> None:
    (tmp_path / ".stagedoor").symlink_to(house.state)
    blocks = _blocks("python")
    assert len(blocks) >= 2
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
    aliases = client.get_registered_model(BREAST_CANCER).aliases
    client.set_registered_model_alias(BREAST_CANCER, "champion", "2")
    assert aliases["champion"] == "3"


def test_the_readmes_curl_works_when_pasted(house: Up) -> None:
    (command,) = [block for block in _blocks("console") if block.startswith("curl")]
    pasted = command.replace("http://127.0.0.1:8000", house.endpoints["gateway"])
    environment = os.environ | {"TOKEN": house.endpoints["tokens"]["predictor"]}
    done = subprocess.run(["bash", "-c", pasted], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)["predictions"][0]["species"] == "setosa", done


def test_nothing_is_open_without_a_token(house: Up) -> None:
    for address in (
        f"{house.endpoints['mlflow']}/api/2.0/mlflow/registered-models/search",
        f"{house.endpoints['gateway']}/status",
    ):
        assert requests.get(address, timeout=30).status_code == 401


def test_a_token_from_the_command_line_works_at_once(house: Up) -> None:
    issue = (*COMMAND, "token", "--state", str(house.state), "--subject", "app", "--model", "iris*")
    token = subprocess.run(issue, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    house.endpoints["tokens"]["app"] = token
    body = example_file(house.state / "examples", IRIS, "simple")
    assert house.post(f"/predict?model={IRIS}", body, role="app").status_code == 200
    assert house.post(f"/predict?model={DIGITS}", body, role="app").status_code == 404


def test_a_killed_resolver_is_started_again_and_follows_on(house: Up, client: Any) -> None:
    def resolvers() -> list[int]:
        return [
            pid
            for pid in _belonging_to(house.state)
            if b"serving.resolver" in Path(f"/proc/{pid}/cmdline").read_bytes()
            and b"guardian" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    (before,) = resolvers()
    os.kill(before, signal.SIGKILL)
    _until(lambda: (now := resolvers()) and now != [before], 30)
    try:
        client.set_registered_model_alias(IRIS, "e2e", "1")
        _until(
            lambda: (
                house.post(
                    f"/models/{IRIS}@e2e/invocations", example_file(house.state / "examples", IRIS, "mlflow")
                ).status_code
                == 200
            ),
            30,
        )
    finally:
        client.delete_registered_model_alias(IRIS, "e2e")
    assert "resolver ended unasked" in house.output()


def test_a_killed_mlflow_is_started_again_while_predictions_go_on(house: Up, client: Any) -> None:
    def is_back() -> bool:
        assert house.predict(BREAST_CANCER).status_code == 200
        try:
            return requests.get(f"{house.endpoints['mlflow']}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    for pid in _belonging_to(house.state):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"mlflow" in words and not any(word.endswith(b"guardian.py") for word in words):
            os.kill(pid, signal.SIGKILL)
    _until(lambda: house.predict(BREAST_CANCER).status_code == 200 and "mlflow ended unasked" in house.output(), 30)
    _until(is_back, 90)
    try:
        client.set_registered_model_alias(BREAST_CANCER, "champion", "3")
        _until(lambda: {house.predict(BREAST_CANCER).headers["X-Model-Version"] for _ in range(8)} == {"3"}, 20)
    finally:
        client.set_registered_model_alias(BREAST_CANCER, "champion", "2")
    _until(lambda: {house.predict(BREAST_CANCER).headers["X-Model-Version"] for _ in range(8)} == {"2"}, 20)


def test_sigterm_leaves_nothing_and_a_second_start_finds_everything_again(house: Up) -> None:
    def versions() -> list[str]:
        told = subprocess.run(
            (*COMMAND, "status", "--json", "--state", str(house.state)), capture_output=True, text=True, timeout=60, check=True
        )
        return sorted(f"{m['name']} {m['route']['arms']}" for m in json.loads(told.stdout)["models"])

    before = versions()
    assert house.end() == 0
    assert _belonging_to(house.state) == []
    assert not (house.state / "endpoints.json").exists()
    house.start()
    assert versions() == before
    assert "cv_accuracy" not in house.output()
    assert house.predict(DIGITS).status_code == 200


def test_a_taken_port_ends_it_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        arguments = ("up", "--state", str(tmp_path), "--gateway-port", "0", "--mlflow-port", str(port))
        result = subprocess.run((*COMMAND, *arguments), capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert result.stderr == f"Error: Port {port} for the MLflow server is taken. Choose another with --mlflow-port PORT.\n"
    assert _belonging_to(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_an_empty_house_ends_without_leftovers(tmp_path: Path, number: signal.Signals) -> None:
    up = Up(tmp_path / "state")
    try:
        assert len(_belonging_to(up.state)) > 4
        assert up.endpoints["controller"] is None
        assert set(up.endpoints["tokens"]) == {"admin", "promoter", "predictor"}
        code = up.end(number)
    finally:
        up.close()
    assert code == (0 if number == signal.SIGINT else -signal.SIGKILL)
    _until(lambda: _belonging_to(up.state) == [], 30)
