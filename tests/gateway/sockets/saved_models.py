"""The models that the gateway under test serves, saved the way MLflow saves them."""

import warnings
from pathlib import Path
from typing import Any

from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression

from serving.store import Store

HERE = Path(__file__).parent
COLUMNS = ("mean radius", "mean texture", "mean area")


GIVEN: Any = {"pip_requirements": []}
"""Without it MLflow runs each model in a process of its own to find out what it imports."""


def save_models(folder: Path, store: Store) -> dict[str, str]:
    """Save them all in `folder` and take them into the store; their digests by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema
        from skl2onnx import to_onnx

        frame = load_breast_cancer(as_frame=True)
        data = frame.data[list(COLUMNS)].to_numpy("float32")
        columns = Schema([ColSpec("double", name) for name in COLUMNS])
        for name, regularisation in (("cancer", 1.0), ("cancer2", 0.001)):
            fitted = LogisticRegression(C=regularisation, max_iter=2000).fit(data / 100, frame.target)
            onnx = to_onnx(fitted, data[:1], options={"zipmap": False})
            mlflow.onnx.save_model(onnx, folder / name, signature=ModelSignature(columns), **GIVEN)
        digits = load_digits()
        pixels = digits.data.astype("float32")
        fitted = LogisticRegression(max_iter=50).fit(pixels / 16, digits.target)
        onnx = to_onnx(fitted, pixels[:1], options={"zipmap": False})
        mlflow.onnx.save_model(onnx, folder / "digits", signature=mlflow.models.infer_signature(pixels[:2]), **GIVEN)
        amounts = ModelSignature(Schema([ColSpec("double", "amount"), ColSpec("long", "count", required=False)]))
        for name in ("moody", "calm", "counted"):
            mlflow.pyfunc.save_model(
                folder / name, python_model=str(HERE / "models" / f"{name}.py"), signature=amounts, **GIVEN
            )
        for name, operation in (("absolute", "Abs"), ("root", "Sqrt")):
            mlflow.onnx.save_model(_one_operation(operation), folder / name, **GIVEN)
        mlflow.onnx.save_model(_network(), folder / "network", **GIVEN)
    return {path.name: store.ingest(_copier(path)) for path in sorted(folder.iterdir())}


def _one_operation(operation: str) -> Any:
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in "XY"]
    graph = helper.make_graph([helper.make_node(operation, ["X"], ["Y"])], operation, ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def _network(layers: int = 80, width: int = 256) -> Any:
    """A graph that takes milliseconds to find out that Y is twice X."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in "XY"]
    turn = np.roll(np.eye(width, dtype="f4"), 1, axis=0)
    weights = {"spread": np.ones((1, width), "f4"), "turn": turn, "gather": np.full((width, 1), 2 / width, "f4")}
    steps = [helper.make_node("MatMul", ["X", "spread"], ["h0"])]
    steps += [helper.make_node("MatMul", [f"h{n}", "turn"], [f"h{n + 1}"]) for n in range(layers)]
    steps.append(helper.make_node("MatMul", [f"h{layers}", "gather"], ["Y"]))
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(steps, "network", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def _copier(path: Path) -> Any:
    def fetch(into: Path) -> None:
        import shutil

        shutil.copytree(path, into, dirs_exist_ok=True)

    return fetch
