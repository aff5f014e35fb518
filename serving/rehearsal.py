"""A small model of our own, loaded and asked in gunicorn's master before it forks, and then forgotten.

Python writes into code when it first runs it and into types when they are first looked through, and libraries fill their
caches. Each such write copies a page into every worker that makes it; made before the fork, it is shared. Nothing of the model
is left: it holds no session, starts no thread, and computes nothing that OpenMP would start threads for.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson

from serving.loading.loaders import LoadOptions
from serving.loading.version import load_version

COLUMNS: Final = ("a", "b")
_ROWS: Final = ((0.5, 1.5), (2.5, 3.5))
_EXAMPLE: Final = "input_example.json"
_SERVING_EXAMPLE: Final = "serving_input_example.json"
_CODE: Final = """
import mlflow
from mlflow.pyfunc.model import PythonModel
from serving.rehearsal import Part


class Rehearsal(PythonModel):
    def load_context(self, context):
        self.part = Part()

    def predict(self, context, model_input, params=None):
        return self.part.predict(model_input)


mlflow.models.set_model(Rehearsal())
"""


class Part:
    """What the model does with a frame: scikit-learn's part in it only where that is imported."""

    def __init__(self) -> None:
        self._pipeline = _through_skops(_pipeline()) if "skops.io" in sys.modules else _pipeline()

    def predict(self, frame: Any) -> Any:  # noqa: ANN401  a DataFrame
        """A frame with one row for each of `frame`'s."""
        answer = self._pipeline.predict(frame) if self._pipeline is not None else frame["a"].to_numpy()
        return sys.modules["pandas"].DataFrame({"answer": answer})


def rehearse() -> None:
    """Load and ask the model, if MLflow's loader is imported. Raises whatever the libraries raise."""
    if "mlflow.pyfunc" not in sys.modules:
        return
    with TemporaryDirectory(prefix="stagedoor-") as name:
        folder = Path(name)
        (folder / "rehearsal.py").write_text(_CODE, encoding="utf-8")
        (folder / "MLmodel").write_bytes(orjson.dumps(_mlmodel()))  # JSON is YAML
        frame = {"columns": COLUMNS, "data": _ROWS}
        (folder / _EXAMPLE).write_bytes(orjson.dumps(frame))
        (folder / _SERVING_EXAMPLE).write_bytes(orjson.dumps({"dataframe_split": frame}))
        load_version(folder, "rehearsal", "1", "", LoadOptions())


def _mlmodel() -> dict[str, Any]:
    columns = [{"type": "double", "name": name, "required": True} for name in COLUMNS]
    answers = [{"type": "double", "name": "answer", "required": True}]
    code = {"loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "rehearsal.py"}
    return {
        "saved_input_example_info": {
            "artifact_path": _EXAMPLE,
            "pandas_orient": "split",
            "type": "dataframe",
            "serving_input_path": _SERVING_EXAMPLE,
        },
        "flavors": {"python_function": code},
        "signature": {"inputs": orjson.dumps(columns).decode(), "outputs": orjson.dumps(answers).decode()},
    }


def _pipeline() -> Any:  # noqa: ANN401  scikit-learn's
    """A fitted pipeline, fitted by nobody: fitting would compute, and computing may start threads."""
    if "sklearn.pipeline" not in sys.modules:
        return None
    import numpy as np  # noqa: PLC0415  beside what follows
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415  only where a model needs it
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415  the same
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415  the same

    scaler, line = StandardScaler(), LinearRegression()
    names = np.array(COLUMNS, dtype=object)
    scaler.mean_, scaler.var_, scaler.scale_ = np.zeros(2), np.ones(2), np.ones(2)
    scaler.n_features_in_, scaler.feature_names_in_, scaler.n_samples_seen_ = 2, names, 1
    line.coef_, line.intercept_, line.n_features_in_ = np.ones(2), 0.0, 2
    return make_pipeline(scaler, line)


def _through_skops(model: Any) -> Any:  # noqa: ANN401  scikit-learn's
    skops = sys.modules["skops.io"]
    return skops.loads(skops.dumps(model))
