"""How each version of the demo is made: data, model, signature, example. Deterministic, a few seconds in all."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import skops.io
from mlflow.models import ModelSignature, infer_signature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from onnx.helper import make_node
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import BayesianRidge, LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from stagedoor import names
from stagedoor.demo.catalog import BREAST_CANCER, DIABETES, DIGITS, IRIS, LOGARITHMS

MODELS_AS_CODE: Final = Path(__file__).with_name("models")
_SEED: Final = 0
_FEATURES: Final = "features"
_PROVIDERS: Final = ["CPUExecutionProvider"]


@dataclass(frozen=True, slots=True)
class Trained:
    """What came out: the logged model, and metrics for the run."""

    info: ModelInfo
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version to be. `make` trains and logs inside the active run; `aliases` point at it the first time."""

    model: str
    name: str
    summary: str
    make: Callable[[], Trained]
    aliases: tuple[str, ...] = field(default=())


def _breast_cancer() -> tuple[pd.DataFrame, pd.Series]:
    data = load_breast_cancer(as_frame=True)
    return data.data.astype("float64"), data.target


def _linear() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _kernel() -> Pipeline:
    """Better than the linear one in accuracy, ROC area and log loss, by repeated cross-validation."""
    return make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(C=10, gamma=0.01), ensemble=False))


def _scores(model: BaseEstimator, rows: Any, labels: Any) -> dict[str, float]:  # noqa: ANN401  array or frame
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=_SEED)
    return {"cv_accuracy": float(cross_val_score(model, rows, labels, cv=folds).mean())}


def _cancer_sklearn() -> Trained:
    rows, labels = _breast_cancer()
    model = _linear().fit(rows, labels)
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(rows, model.predict(rows)),
        input_example=rows.head(2),
        pip_requirements=["scikit-learn", "skops"],
    )
    return Trained(info, _scores(_linear(), rows, labels))


def _cancer_onnx(build: Callable[[], Pipeline]) -> Callable[[], Trained]:
    """The same columns as the scikit-learn version, so that one body fits all versions; label and probabilities come back."""

    def make() -> Trained:
        rows, labels = _breast_cancer()
        model = build().fit(rows.to_numpy(), labels)
        info = _log_cancer(_to_onnx(model, _FEATURES, rows.shape[1]), rows)
        return Trained(info, _scores(build(), rows.to_numpy(), labels))

    return make


def _cancer_of_logarithms() -> Trained:
    """The third act: good by every figure of its training, which left out the rows whose logarithms are none.

    A row with a zero gets NaN for an answer. Neither the logged example nor the signature shows it; callers would.
    """
    rows, labels = _breast_cancer()
    known = (rows > 0).all(axis=1)
    logarithms, known_labels = np.log(rows[known].to_numpy()), labels[known]

    def build() -> Pipeline:
        return make_pipeline(StandardScaler(), PCA(20, random_state=_SEED), LogisticRegression(max_iter=1000))

    graph = _to_onnx(build().fit(logarithms, known_labels), _FEATURES, rows.shape[1])
    info = _log_cancer(_after_logarithm(graph), rows)
    return Trained(info, _scores(build(), logarithms, known_labels))


def _after_logarithm(model: Any) -> Any:  # noqa: ANN401  onnx has no types
    """The same graph behind a Log node."""
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == _FEATURES:
                node.input[index] = "logarithms"
    model.graph.node.insert(0, make_node("Log", [_FEATURES], ["logarithms"]))
    return model


def _log_cancer(graph: Any, rows: pd.DataFrame) -> ModelInfo:  # noqa: ANN401  the same
    outputs = Schema([TensorSpec(np.dtype("int64"), (-1,), "label"), TensorSpec(np.dtype("float32"), (-1, 2), "probabilities")])
    inputs = Schema([ColSpec(DataType.double, name) for name in rows.columns])
    info: ModelInfo = mlflow.onnx.log_model(
        graph,
        name="model",
        signature=ModelSignature(inputs, outputs),
        input_example=rows.head(2),
        onnx_execution_providers=_PROVIDERS,
        pip_requirements=["onnxruntime"],
    )
    return info


def _to_onnx(model: Pipeline, name: str, width: int) -> Any:  # noqa: ANN401  onnx has no types
    options = {id(model): {"zipmap": False}}
    return to_onnx(model, initial_types=[(name, FloatTensorType([None, width]))], options=options)


def _digits() -> Trained:
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels.astype(np.float32)

    def build() -> Pipeline:
        return make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=60, random_state=_SEED))

    model = build().fit(pixels, labels)
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("float32"), (-1, 64), "pixels")]),
        Schema([TensorSpec(np.dtype("int64"), (-1,), "label"), TensorSpec(np.dtype("float32"), (-1, 10), "probabilities")]),
    )
    info = mlflow.onnx.log_model(
        _to_onnx(model, "pixels", 64),
        name="model",
        signature=signature,
        input_example={"pixels": pixels[:2]},
        onnx_execution_providers=_PROVIDERS,
        pip_requirements=["onnxruntime"],
    )
    return Trained(info, {"cv_accuracy": float(cross_val_score(build(), pixels, labels, cv=3).mean())})


def _diabetes() -> Trained:
    data = load_diabetes(as_frame=True, scaled=False)
    rows = data.data.astype("float64")

    def build() -> Pipeline:
        return make_pipeline(StandardScaler(), BayesianRidge())

    model = build().fit(rows, data.target)
    signature = ModelSignature(
        Schema([ColSpec(DataType.double, name) for name in rows.columns]),
        Schema([ColSpec(DataType.double, name) for name in ("progression", "lower", "upper")]),
        ParamSchema([ParamSpec("coverage", DataType.double, 0.9)]),
    )
    info = _log_code("diabetes_interval.py", "regressor", model, signature, rows.head(2))
    return Trained(info, {"cv_r2": float(cross_val_score(build(), rows, data.target, cv=5).mean())})


def _iris() -> Trained:
    data = load_iris(as_frame=True)
    rows = data.data.rename(columns=lambda name: name.removesuffix(" (cm)")).astype("float64")
    species = data.target_names[data.target]
    model = _linear().fit(rows, species)
    signature = ModelSignature(
        Schema([ColSpec(DataType.double, name) for name in rows.columns]),
        Schema(
            [ColSpec(DataType.string, "species"), ColSpec(DataType.double, "confidence"), ColSpec(DataType.string, "because")]
        ),
        ParamSchema([ParamSpec("unit", DataType.string, "cm")]),
    )
    info = _log_code("iris_explained.py", "classifier", model, signature, rows.head(2))
    return Trained(info, _scores(_linear(), rows, species))


def _log_code(code: str, artifact: str, model: Pipeline, signature: ModelSignature, example: pd.DataFrame) -> ModelInfo:
    """Log a PythonModel as code, with its scikit-learn part beside it as skops."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{artifact}.skops"
        skops.io.dump(model, file)
        info: ModelInfo = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(MODELS_AS_CODE / code),
            artifacts={artifact: str(file)},
            signature=signature,
            input_example=example,
            pip_requirements=["scikit-learn", "skops", "pandas"],
        )
    return info


RECIPES: Final = (
    Recipe(BREAST_CANCER, "linear-sklearn", "logistic regression, scikit-learn", _cancer_sklearn),
    Recipe(BREAST_CANCER, "linear-onnx", "the same as ONNX", _cancer_onnx(_linear), (names.CHAMPION,)),
    Recipe(
        BREAST_CANCER,
        "kernel-onnx",
        "a better one as ONNX",
        _cancer_onnx(_kernel),
        (names.CHALLENGER,),
    ),
    Recipe(BREAST_CANCER, LOGARITHMS, "on logarithms of the features, ONNX", _cancer_of_logarithms),
    Recipe(DIGITS, "network-onnx", "8 x 8 pixels to a digit, ONNX", _digits, (names.CHAMPION,)),
    Recipe(DIABETES, "bayesian-ridge", "regression with an interval, pyfunc", _diabetes, (names.CHAMPION,)),
    Recipe(IRIS, "explained", "custom PythonModel that says why", _iris, (names.CHAMPION,)),
)
