"""`mlflow deployments run-local`: a real model, real processes, one real answer, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from stagedoor.mlflow_deployments.failure import DeploymentFailed
from stagedoor.mlflow_deployments.local import run_local
from stagedoor.mlflow_deployments.one_model import OneModel
from stagedoor.registry.mlflow_registry import MLflowRegistry

SECONDS = 120


def _doubling(folder: Path) -> Path:
    """A logged model that doubles its number."""
    from onnx import TensorProto, helper

    number = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("x", "y")]
    weight = helper.make_tensor("k", TensorProto.FLOAT, [1, 1], [2.0])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "k"], ["y"])], "double", number[:1], number[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir()
    (folder / "MLmodel").write_bytes(b"flavors:\n  onnx:\n    data: model.onnx\n")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Any]:
    """Starts run-local with its output in files; whatever is still there at the end is ended."""
    started: list[subprocess.Popen[bytes]] = []
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def run(model: Path) -> tuple[subprocess.Popen[bytes], Path, Path]:
        command = (sys.executable, "-m", "mlflow", "deployments", "run-local", "-t", "stagedoor", "--name", "double")
        out = tmp_path / "out.txt"
        with out.open("wb") as file:
            process = subprocess.Popen(
                (*command, "-m", str(model), "-C", "port=0"),
                stdout=file,
                stderr=file,
                env={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
            )
        started.append(process)
        return process, out, temporary

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def _wait(process: "subprocess.Popen[bytes]", out: Path, pattern: str) -> "re.Match[str]":
    end = time.monotonic() + SECONDS
    while not (found := re.search(pattern, out.read_text())):
        assert process.poll() is None, out.read_text()
        assert time.monotonic() < end, out.read_text()
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_model_from_a_folder_answers_and_leaves_nothing_behind(running: Any, tmp_path: Path) -> None:
    process, out, temporary = running(_doubling(tmp_path / "model"))
    url, token = _wait(process, out, r"(http://\S+/invocations)\s+token, good for a day:\s+(\S+)\n\n").groups()
    answer = requests.post(url, json={"inputs": {"x": [[21.0]]}}, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"predictions": {"y": [[42.0]]}})
    assert requests.post(url, json={"inputs": [[1.0]]}, timeout=10).status_code == 401
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not list(temporary.glob("stagedoor-*"))
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=2)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_model_that_cannot_be_loaded_ends_it_with_the_reason(running: Any, tmp_path: Path) -> None:
    model = _doubling(tmp_path / "model")
    (model / "model.onnx").write_bytes(b"no model at all")
    process, out, temporary = running(model)
    assert process.wait(SECONDS) == 1
    assert "The model cannot be served." in out.read_text()
    assert "Traceback" not in out.read_text()
    assert not list(temporary.glob("stagedoor-*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"config": {"prot": "1"}}, "no option prot"),
        ({"config": {"port": "http"}}, "whole numbers"),
        ({"config": {"workers": "0"}}, "between 1 and 64"),
        ({"flavor": "onnx"}, "--flavor"),
        ({"model_uri": "/nowhere/at/all"}, "cannot be fetched"),
        ({"name": "a/b"}, "malformed"),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(DeploymentFailed, match=told):
        run_local(**{"name": "double", "model_uri": "/nowhere", **arguments})


def test_the_registry_of_one_model_answers_as_mlflow_does(tmp_path: Path) -> None:
    files = _doubling(tmp_path / "model")
    with OneModel("double", "8", files) as one:
        registry = MLflowRegistry(one.url, timeout=5)
        (model,) = registry.models().models
        assert (model.name, dict(model.aliases)) == ("double", {"champion": "8"})
        assert registry.model("double").newest == "8"
        version = registry.version("double", "8")
        registry.tag_version("double", "8", "stagedoor.sha256", "abc")
        into = tmp_path / "into"
        into.mkdir()
        registry.fetch(version, into)
        assert (into / "model.onnx").read_bytes() == (files / "model.onnx").read_bytes()
