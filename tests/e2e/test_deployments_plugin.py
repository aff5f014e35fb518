"""The deployments plugin against `stagedoor up`: a real MLflow, real gates, a real gateway."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import mlflow.deployments
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # MLflow's own while it logs
]

UP = (sys.executable, "-c", "from stagedoor.cli import main; main(prog_name='stagedoor')", "up")
ANY_PORTS = ("--mlflow-port", "0", "--gateway-port", "0", "--controller-port", "0", "--workers", "1")
FACTORS = (2.0, float("nan"), 3.0)
"""Versions 1, 2 and 3; what the second answers is not finite."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("house")
    file = folder / "state" / "endpoints.json"
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen((*UP, "--state", str(file.parent), *ANY_PORTS), stdout=log, stderr=log)
    try:
        end = time.monotonic() + 240
        while not file.exists():
            assert process.poll() is None, (folder / "up.log").read_text()
            assert time.monotonic() < end, (folder / "up.log").read_text()
            time.sleep(0.2)
        yield json.loads(file.read_text())
    finally:
        process.terminate()
        process.wait(90)


def _register(factor: float) -> None:
    """Log a model that multiplies its number, with signature and example, as one more version."""
    from mlflow.models import infer_signature
    from onnx import TensorProto, helper

    number = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("x", "y")]
    weight = helper.make_tensor("k", TensorProto.FLOAT, [1, 1], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "k"], ["y"])], "times", number[:1], number[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    example = {"x": np.array([[1.0]], dtype=np.float32)}
    signature = infer_signature(example, {"y": example["x"]})
    with mlflow.start_run():
        mlflow.onnx.log_model(model, name="model", signature=signature, input_example=example, registered_model_name="times")


@pytest.fixture
def client(house: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three registered versions, and the client that a pipeline with the promoter's token has."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", house["mlflow"])
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", house["tokens"]["promoter"])
    for factor in FACTORS:
        _register(factor)
    return mlflow.deployments.get_deploy_client(f"stagedoor:{house['gateway']}")


def test_a_pipeline_promotes_is_refused_splits_and_takes_out_of_service(client: Any) -> None:
    def answer(name: str = "times") -> float:
        return float(client.predict(name, {"inputs": {"x": [[21.0]]}})["predictions"]["y"][0][0])

    quick = {"strategy": "immediate", "timeout": "180s"}
    assert client.create_deployment("times", "models:/times/1", config=quick)["stable"] == "1"
    assert answer() == 42.0

    with pytest.raises(MlflowException, match="Version 2 was refused") as caught:
        client.create_deployment("times", "models:/times/2", config=quick)
    assert caught.value.error_code == "ABORTED"
    assert "not finite" in str(caught.value)
    assert answer() == 42.0

    client.create_deployment("times", "models:/times/3", config={"alias": "challenger"})
    client.update_deployment("times", config={"traffic": "champion=50,challenger=50", "timeout": "180s"})
    end = time.monotonic() + 60
    answers: set[float] = set()
    while answers != {42.0, 63.0} and time.monotonic() < end:
        answers.add(answer())
    assert answers == {42.0, 63.0}
    client.update_deployment("times", config={"traffic": "off", "timeout": "180s"})

    assert {"name": "times", "version": "1", "phase": "idle"} in client.list_deployments()
    client.delete_deployment("times", config={"confirm": "true", "timeout": "180s"})
    assert client.get_deployment("times")["stable"] is None
    assert "RESOURCE_DOES_NOT_EXIST" in _errors_of(answer, 60)


def _errors_of(answer: Callable[[], float], seconds: float) -> str:
    """The code of the first error; a gateway learns of it a moment after the controller."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            answer()
        except MlflowException as error:
            return str(error.error_code)
        time.sleep(0.2)
    return "none"
