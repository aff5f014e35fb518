"""Small real models, and cases for gates that need none."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from registry_hooks.gates import Case, Examination, Gatehouse
from registry_hooks.gates.examination import Golden, Latency
from registry_hooks.gates.examiner import Examiner
from serving.loading.probe import stop_probing
from stagedoor.domain.intent import ModelVersion, RegisteredModel
from stagedoor.paths import StatePaths
from stagedoor.registry.memory import MemoryRegistry
from stagedoor.settings import Settings

MakeOnnx = Callable[..., Path]
MakeCode = Callable[..., Path]


def signature(inputs: Any = None, outputs: Any = None) -> dict[str, Any]:
    parts = {"inputs": inputs, "outputs": outputs}
    given = {key: json.dumps(value) for key, value in parts.items() if value is not None}
    return {"signature": given} if given else {}


@pytest.fixture
def make_onnx(tmp_path: Path) -> MakeOnnx:
    """A model of two numbers a row, logged with an example; `weights` has one row for each number."""
    count = iter(range(1000))

    def make(weights: Any = ((1.0,), (2.0,)), *, example: Any = ((1.0, 2.0),), outputs: Any = None, name: str = "Y") -> Path:
        folder = tmp_path / f"model-{next(count)}"
        folder.mkdir()
        tensor = numpy_helper.from_array(np.asarray(weights, np.float32), "W")
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["X", "W"], [name])],
            "weights",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, len(weights)])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, len(weights[0])])],
            [tensor],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        content: dict[str, Any] = {"flavors": {"onnx": {"data": "model.onnx"}}, **signature(outputs=outputs)}
        if example is not None:
            content["saved_input_example_info"] = {"serving_input_path": "serving_input_example.json"}
            (folder / "serving_input_example.json").write_text(json.dumps({"inputs": example}))
        (folder / "MLmodel").write_text(yaml.safe_dump(content))
        return folder

    return make


@pytest.fixture
def make_code(tmp_path: Path) -> MakeCode:
    """A PythonModel logged as code; `body` is the body of its predict."""
    count = iter(range(1000))

    def make(body: str, *, top: str = "", example: Any = None, outputs: Any = None) -> Path:
        folder = tmp_path / f"code-{next(count)}"
        folder.mkdir()
        conf = {"loader_module": "mlflow.pyfunc.model", "model_code_path": "model.py", "python_version": "3.11.0"}
        content: dict[str, Any] = {"flavors": {"python_function": conf}, **signature(outputs=outputs)}
        if example is not None:
            content["saved_input_example_info"] = {
                "artifact_path": "input_example.json",
                "serving_input_path": "serving_input_example.json",
                "type": "ndarray",
            }
            for name in ("input_example.json", "serving_input_example.json"):
                (folder / name).write_text(json.dumps({"inputs": example}))
        (folder / "MLmodel").write_text(yaml.safe_dump(content))
        (folder / "model.py").write_text(
            f"import mlflow\n{top}\n\nclass Model(mlflow.pyfunc.PythonModel):\n"
            f"    def predict(self, context, model_input, params=None):\n        {body}\n\nmlflow.models.set_model(Model())\n"
        )
        return folder

    return make


@pytest.fixture(scope="session", autouse=True)
def _end_examining() -> Iterator[None]:
    yield
    stop_probing()


def examination(**changes: Any) -> Examination:
    fields: dict[str, Any] = {
        "digest": "d" * 64,
        "flavor": "onnx",
        "load_seconds": 0.1,
        "memory_bytes": 100 * 2**20,
        "golden": Golden(1, 1),
        "latency": Latency(0.010, 0.020, 100),
    }
    return Examination(**(fields | changes))


def case_of(
    *,
    tags: dict[str, str] | None = None,
    version_tags: dict[str, str] | None = None,
    live_tags: dict[str, str] | None = None,
    live: bool = True,
    **changes: Any,
) -> Case:
    fields: dict[str, Any] = {
        "model": RegisteredModel("fraud", tags=tags or {}),
        "candidate": ModelVersion("fraud", "8", "", tags=version_tags or {}),
        "live": ModelVersion("fraud", "7", "", tags=live_tags or {}) if live else None,
        "examination": examination(),
        "live_examination": examination() if live else None,
    }
    return Case(**(fields | changes))


@pytest.fixture
def examined() -> Callable[..., Examination]:
    """An examination that found nothing wrong, but for the changes."""
    return examination


@pytest.fixture
def case() -> Callable[..., Case]:
    """Version 8 of fraud beside the live version 7, nothing wrong with either, but for the changes."""
    return case_of


class Gates:
    """A gatehouse over an in-memory registry with one model, `m`."""

    def __init__(self, root: Path, examiner: Examiner) -> None:
        self.examiner = examiner
        self.registry = MemoryRegistry()
        self.paths = StatePaths(root)
        self.root = root
        self.settings = Settings(state_dir=root, gate_timeout_seconds=60, gate_memory_mib=512)

    def house(self, **changes: Any) -> Gatehouse:
        settings = self.settings.model_copy(update=changes)
        return Gatehouse(self.registry, settings, self.paths, examiner=self.examiner)

    def add(self, folder: Path, **tags: str) -> str:
        return self.registry.register("m", folder, tags)

    def check(self, house: Gatehouse, candidate: str, live: str | None = None, who: str = "alice") -> dict[str, Any]:
        found = house.check(self.registry.model("m"), candidate, live, who)
        return {finding.gate: finding.result for finding in found}


@pytest.fixture(scope="session")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    """One process for all tests: what it costs is its start."""
    examiner = Examiner(tmp_path_factory.mktemp("examiner"))
    yield examiner
    examiner.close()


@pytest.fixture
def gates(tmp_path: Path, examiner: Examiner) -> Gates:
    return Gates(tmp_path / "state", examiner)
