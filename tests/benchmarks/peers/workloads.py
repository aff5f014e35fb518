"""Make the models that every server gets: the same numbers on every machine, logged as MLflow logs them.

`make_workloads` runs in the project's own environment and needs no server. What it made is kept until this file changes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers.contract import FOREST, LINEAR, MLP, Workload

_SEED = 20
_TREES = 100
_MLP_WIDTHS = (784, 2048, 2048, 10)
_MLP_PIXELS = 784
_EXAMPLE_ROWS = 5
_MADE_BY = "made-by"


def make_workloads(folder: Path) -> dict[str, Workload]:
    """The three workloads by name, below `folder`: trained, converted and saved where they are not there already."""
    mark = folder / _MADE_BY
    if not mark.exists() or mark.read_text() != _digest():
        _make_all(folder)
        mark.write_text(_digest())
    return {name: _read(folder / name, name) for name in (LINEAR, FOREST, MLP)}


def _digest() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _make_all(folder: Path) -> None:
    """Made beside and moved in as a whole, so that an interrupted run leaves no half of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        for name, make in ((LINEAR, _linear), (FOREST, _forest), (MLP, _mlp)):
            place = Path(fresh, "workloads", name)
            place.mkdir(parents=True)
            make(place)
        shutil.rmtree(folder, ignore_errors=True)
        Path(fresh, "workloads").rename(folder)


def _read(place: Path, name: str) -> Workload:
    told = json.loads((place / "row.json").read_text())
    inputs = np.asarray(told["inputs"], np.float32)
    columns = tuple(told["columns"]) if told["columns"] else None
    return Workload(name, place / "model.onnx", place / "mlmodel", inputs, tuple(told["expected"]), columns)


def _note(place: Path, inputs: NDArray[np.float32], expected: NDArray[Any], columns: list[str] | None = None) -> None:
    told = {"inputs": inputs.tolist(), "expected": np.ravel(expected).tolist(), "columns": columns}
    (place / "row.json").write_text(json.dumps(told))


def _linear(place: Path) -> None:
    """Logistic regression on breast cancer's 30 columns, as ONNX with a tensor signature."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression

    data, labels = load_breast_cancer(return_X_y=True)
    rows = (data / data.max(axis=0)).astype(np.float32)
    graph = _converted(LogisticRegression().fit(rows, labels), rows)
    _, probabilities = _run(graph, rows[:1])
    _save_onnx(graph, rows, place)
    _note(place, rows[:1], probabilities)


def _forest(place: Path) -> None:
    """A hundred trees on a DataFrame of the same data, as scikit-learn with a column signature, and as ONNX beside it."""
    import mlflow
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    data = load_breast_cancer(as_frame=True)
    # Columns of float64 whose values fit float32, so that the row is the same row in every server's protocol.
    frame = data.data.astype("float32").astype("float64")
    forest = RandomForestClassifier(_TREES, random_state=_SEED, n_jobs=1).fit(frame, data.target)
    row = frame[data.target == 1].head(1)
    mlflow.sklearn.save_model(
        forest,
        path=place / "mlmodel",
        signature=mlflow.models.infer_signature(frame, forest.predict(frame)),
        input_example=frame.head(_EXAMPLE_ROWS),
        serialization_format="skops",
        skops_trusted_types=["sklearn.tree._tree.Tree"],
        pip_requirements=["scikit-learn", "skops", "pandas"],
    )
    graph = _converted(forest, row.to_numpy(np.float32))
    (place / "model.onnx").write_bytes(graph.SerializeToString())
    _note(place, row.to_numpy(np.float32), forest.predict(row), list(frame.columns))


def _mlp(place: Path) -> None:
    """784-2048-2048-10 with random weights, ReLU between: work for a processor, no matter what it means."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(_SEED)
    nodes, weights, flow = [], [], "input"
    for layer, (wide, narrow) in enumerate(itertools.pairwise(_MLP_WIDTHS)):
        last = layer == len(_MLP_WIDTHS) - 2
        matrix = random.normal(0, np.sqrt(2 / wide), (wide, narrow)).astype(np.float32)
        bias = random.normal(0, 0.01, narrow).astype(np.float32)
        weights += [numpy_helper.from_array(matrix, f"w{layer}"), numpy_helper.from_array(bias, f"b{layer}")]
        made = "output" if last else f"h{layer}"
        nodes.append(helper.make_node("Gemm", [flow, f"w{layer}", f"b{layer}"], [made if last else f"z{layer}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"z{layer}"], [made]))
        flow = made
    taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["rows", _MLP_WIDTHS[0]])
    given = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows", _MLP_WIDTHS[-1]])
    graph = helper.make_graph(nodes, "mlp", [taken], [given], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    rows = (random.integers(0, 256, (_EXAMPLE_ROWS, _MLP_PIXELS)) / 255).astype(np.float32)
    (output,) = _run(model, rows[:1])
    _save_onnx(model, rows, place)
    _note(place, rows[:1], output)


def _converted(fitted: Any, rows: NDArray[np.float32]) -> Any:
    """As ONNX with outputs `label` and `probabilities`."""
    from skl2onnx import to_onnx

    return to_onnx(fitted, rows[:1], options={id(fitted): {"zipmap": False}})


def _run(graph: Any, row: NDArray[np.float32]) -> list[NDArray[Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: row})
    return outputs


def _save_onnx(graph: Any, rows: NDArray[np.float32], place: Path) -> None:
    import mlflow

    (place / "model.onnx").write_bytes(graph.SerializeToString())
    outputs = _run(graph, rows[:_EXAMPLE_ROWS])
    named = dict(zip([value.name for value in graph.graph.output], outputs, strict=True))
    mlflow.onnx.save_model(
        graph,
        path=place / "mlmodel",
        signature=mlflow.models.infer_signature(rows[:_EXAMPLE_ROWS], named),
        input_example=rows[:2],
        onnx_execution_providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1, "extra_session_config": {"session.intra_op.allow_spinning": "0"}},
        pip_requirements=["onnxruntime"],
        save_as_external_data=False,
    )
