"""Small real models, saved the way MLflow saves them."""

import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from serving.loading.probe import stop_probing
from serving.pool import Pool
from serving.snapshot_file import write_snapshot
from serving.store import digest_of, folder_of
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route
from stagedoor.paths import StatePaths
from stagedoor.settings import MIB, Settings

Build = Callable[..., Path]


def weights_model(weights: Any, *, external: str | None = None) -> onnx.ModelProto:
    """A graph that multiplies X [n, rows of weights] by `weights`; they lie in the file `external` if that is given."""
    tensor = numpy_helper.from_array(np.asarray(weights, np.float32), "W")
    if external is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.append(onnx.StringStringEntryProto(key="location", value=external))
    rows, columns = np.shape(weights)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "W"], ["Y"])],
        "weights",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, rows])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, columns])],
        [tensor],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_mlmodel(folder: Path, flavors: dict[str, Any], **fields: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors, **fields}))
    return folder


def onnx_folder(folder: Path, model: onnx.ModelProto, conf: dict[str, Any] | None = None, **fields: Any) -> Path:
    write_mlmodel(folder, {"onnx": {"data": "model.onnx", **(conf or {})}}, **fields)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


@pytest.fixture
def build_onnx(tmp_path: Path) -> Build:
    """Makes a folder with an ONNX model that multiplies by `weights`."""
    count = iter(range(1000))

    def build(weights: Any = ((1.0,), (2.0,)), conf: dict[str, Any] | None = None, external: str | None = None) -> Path:
        return onnx_folder(tmp_path / f"onnx-{next(count)}", weights_model(weights, external=external), conf)

    return build


@pytest.fixture
def build_code(tmp_path: Path) -> Build:
    """Makes a folder with a PythonModel logged as code; `body` is the body of its predict."""
    count = iter(range(1000))

    def build(body: str, top: str = "", example: Any = None) -> Path:
        folder = tmp_path / f"code-{next(count)}"
        conf = {"loader_module": "mlflow.pyfunc.model", "model_code_path": "model.py", "python_version": "3.11.0"}
        fields: dict[str, Any] = {}
        if example is not None:
            fields["saved_input_example_info"] = {
                "artifact_path": "input_example.json",
                "serving_input_path": "serving_input_example.json",
                "type": "ndarray",
            }
        write_mlmodel(folder, {"python_function": conf}, **fields)
        if example is not None:
            (folder / "serving_input_example.json").write_text(json.dumps({"inputs": example}))
            (folder / "input_example.json").write_text(json.dumps({"inputs": example}))
        (folder / "model.py").write_text(
            f"import mlflow\n{top}\n\nclass Model(mlflow.pyfunc.PythonModel):\n"
            f"    def predict(self, context, model_input, params=None):\n        {body}\n\nmlflow.models.set_model(Model())\n"
        )
        return folder

    return build


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same classifier as `skops`, `pickle`, `onnx` (label and probabilities) and `zipmap`, in folders of those names."""
    root = tmp_path_factory.mktemp("iris")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.models import infer_signature
        from skl2onnx import to_onnx
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression

        frame, target = load_iris(return_X_y=True, as_frame=True)
        frame.columns = ["a", "b", "c", "d"]
        model = LogisticRegression(max_iter=500).fit(frame, target)
        signature = infer_signature(frame, model.predict(frame))
        given: dict[str, Any] = {"signature": signature, "input_example": frame.head(2), "pip_requirements": []}
        for kind in ("skops", "pickle"):
            mlflow.sklearn.save_model(model, root / kind, serialization_format=kind, **given)
        sample = frame.to_numpy()[:1].astype(np.float32)
        for kind, zipmap in (("onnx", False), ("zipmap", True)):
            graph = to_onnx(model, sample, options={"zipmap": zipmap})
            mlflow.onnx.save_model(graph, root / kind, pip_requirements=[])
    return root


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a folder that may be damaged."""

    def copy(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / f"copy-of-{folder.name}"))

    return copy


@pytest.fixture(scope="session", autouse=True)
def _end_probing() -> Iterator[None]:
    yield
    stop_probing()


class House:
    """A state folder whose resolver is the test: version n of a model multiplies by n."""

    def __init__(self, root: Path, build: Build) -> None:
        self.paths = StatePaths(root)
        self.settings = Settings(state_dir=root, memory_budget_mib=100)
        self.build = build
        self.serial = 0
        self.versions: dict[str, VersionEntry] = {}
        self.pools: list[Pool] = []

    def add(self, version: str, memory_mib: int = 1) -> Path:
        folder = self.build(((float(version),), (0.0,)))
        digest = digest_of(folder)
        target = folder_of(self.paths.store, digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
        self.versions[version] = VersionEntry(version, "ready", digest, "onnx", memory_mib * MIB)
        return target

    def entry(self, *arms: str, name: str = "m", **changes: Any) -> ModelEntry:
        weights = [10_000 - 100 * (len(arms) - 1), *[100] * (len(arms) - 1)]
        made = tuple(Arm(f"alias{v}", v, w) for v, w in zip(arms, weights, strict=True))
        route = Route(self.serial + 1, made, b"salt") if arms else None
        fields: dict[str, Any] = {"route": route, "versions": dict(self.versions), "aliases": {f"alias{v}": v for v in arms}}
        return ModelEntry(name, **(fields | changes))

    def publish(self, *entries: ModelEntry, serial: int | None = None) -> None:
        self.serial = self.serial + 1 if serial is None else serial
        write_snapshot(self.paths.snapshot, Snapshot(self.serial, {entry.name: entry for entry in entries}))

    def pool(self, **arguments: Any) -> Pool:
        pool = Pool(self.settings, self.paths, **arguments)
        self.pools.append(pool)
        return pool

    def started(self) -> Pool:
        pool = self.pool()
        pool.start()
        return pool

    def reports(self) -> list[Mapping[str, Any]]:
        return [json.loads(path.read_bytes()) for path in self.paths.workers.glob("*.json")]


@pytest.fixture
def house(tmp_path: Path, build_onnx: Build) -> Iterator[House]:
    house = House(tmp_path / "state", build_onnx)
    yield house
    for pool in house.pools:
        pool.stop()


@pytest.fixture
def until() -> Callable[..., bool]:
    """Waits for a condition; False if it does not come in time."""

    def wait(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.005)
        return False

    return wait
