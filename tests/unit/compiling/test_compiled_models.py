"""Models of many kinds are compiled, and their compiled form answers in the very form in which they do."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from serving.codecs import CODECS, Answer, Wire
from serving.loading.version import Version

from .conftest import Promote, Promoted, labels, table

pytestmark = [pytest.mark.slow]

TWO, THREE = [0, 1], ["low", "middle", "high"]


def _linear() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


def _forest(count: int = 20, **given: Any) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(count, random_state=0, **given)


def _scaled_forest() -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), _forest(10))


def _of(path: str, **given: Any) -> Callable[[], Any]:
    def make() -> Any:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)(**given)

    return make


CLASSIFIERS: list[tuple[str, Callable[[], Any], list[Any]]] = [
    ("linear, two classes", _linear, TWO),
    ("linear, texts", _linear, THREE),
    ("linear, booleans", _linear, [False, True]),
    ("linear, floats", _linear, [0.0, 1.0]),
    ("forest", _forest, TWO),
    ("flat forest, texts", lambda: _forest(10, max_depth=3), THREE),
    ("forest behind a scaler", _scaled_forest, TWO),
    ("tree", _of("sklearn.tree.DecisionTreeClassifier", random_state=0), THREE),
    ("extra trees", _of("sklearn.ensemble.ExtraTreesClassifier", n_estimators=10, random_state=0), TWO),
    ("boosting", _of("sklearn.ensemble.GradientBoostingClassifier", n_estimators=5, random_state=0), TWO),
    ("boosting, texts", _of("sklearn.ensemble.GradientBoostingClassifier", n_estimators=5, random_state=0), THREE),
    ("histograms", _of("sklearn.ensemble.HistGradientBoostingClassifier", max_iter=5), TWO),
    ("histograms, texts", _of("sklearn.ensemble.HistGradientBoostingClassifier", max_iter=5), THREE),
    ("bayes", _of("sklearn.naive_bayes.GaussianNB"), THREE),
    ("LightGBM", _of("lightgbm.LGBMClassifier", n_estimators=5, verbose=-1, n_jobs=1), TWO),
    ("LightGBM, texts", _of("lightgbm.LGBMClassifier", n_estimators=5, verbose=-1, n_jobs=1), THREE),
    ("XGBoost", _of("xgboost.XGBClassifier", n_estimators=5, n_jobs=1), TWO),
    ("XGBoost, three", _of("xgboost.XGBClassifier", n_estimators=5, n_jobs=1), [0, 1, 2]),
]
REGRESSORS: list[tuple[str, Callable[[], Any]]] = [
    ("ridge", _of("sklearn.linear_model.Ridge")),
    ("forest", _of("sklearn.ensemble.RandomForestRegressor", n_estimators=10, random_state=0)),
    ("boosting", _of("sklearn.ensemble.GradientBoostingRegressor", n_estimators=5, random_state=0)),
    ("histograms", _of("sklearn.ensemble.HistGradientBoostingRegressor", max_iter=5)),
    ("counts", _of("sklearn.ensemble.HistGradientBoostingRegressor", loss="poisson", max_iter=5)),
    ("LightGBM", _of("lightgbm.LGBMRegressor", n_estimators=5, verbose=-1, n_jobs=1)),
    ("XGBoost", _of("xgboost.XGBRegressor", n_estimators=5, n_jobs=1)),
]


def check(promoted: Promoted) -> None:
    assert promoted.made, promoted.said
    native, compiled = promoted.versions()
    assert (compiled.flavor, compiled.compiled, native.compiled) == ("onnx", True, False)
    assert (compiled.cores, native.cores) == (1, 0), "nobody knows what any other waits for"
    rows = table(5, seed=9)
    split = rows.to_dict(orient="split", index=False)
    columns = [
        {"name": name, "datatype": "FP64", "shape": [5], "data": values} for name, values in rows.to_dict(orient="list").items()
    ]
    bodies = {"mlflow": {"dataframe_split": split}, "simple": {"data": split["data"]}, "v2": {"inputs": columns}}
    assert bodies.keys() == CODECS.keys()
    for protocol, sent in bodies.items():
        assert_alike(*(answer(version, protocol, sent) for version in (native, compiled)))


def answer(version: Version, protocol: str, body: dict[str, Any]) -> Any:
    import orjson

    codec = CODECS[protocol]
    decoded = codec.decode(Wire(orjson.dumps(body), "application/json", {}), version.signature, 100)
    outputs = version.predictor.predict(decoded.inputs)
    encoded = codec.encode(outputs, decoded, version.signature, Answer("m", "1", "id", 1.0))
    said = orjson.loads(encoded.body)
    said.pop("processing_time_ms", None)  # which is no part of what the model says
    return outputs, said


def assert_alike(native: Any, compiled: Any) -> None:
    one, other = (outputs.arrays[""] for outputs, _ in (native, compiled))
    assert native[0].kind == compiled[0].kind == "array"
    assert one.shape == other.shape
    assert one.dtype == other.dtype or one.dtype.kind in "UO"
    if one.dtype.kind == "f":
        np.testing.assert_allclose(other, one, rtol=1e-5)
        assert shape_of(native[1]) == shape_of(compiled[1])
    else:
        assert native[1] == compiled[1]


def shape_of(value: Any) -> Any:
    """JSON with its numbers taken out."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of(item) for item in value]
    return "a number" if isinstance(value, float) else value


def _asked() -> Iterator[Any]:
    """Each classifier with each way to ask it; MLflow serves `predict` alone of LightGBM and XGBoost."""
    for name, make, classes in CLASSIFIERS:
        for answering in ("predict",) if name.startswith(("LightGBM", "XGBoost")) else ("predict", "predict_proba"):
            yield pytest.param(make, classes, answering, id=f"{name}-{answering}")


@pytest.mark.parametrize(("make", "classes", "answering"), list(_asked()))
def test_a_classifier_answers_the_same_compiled(
    promote: Promote, make: Callable[[], Any], classes: list[Any], answering: str
) -> None:
    data = table()
    model = make().fit(data, labels(data, classes))
    check(promote(model, data, answering))


@pytest.mark.parametrize("make", [row[1] for row in REGRESSORS], ids=[row[0] for row in REGRESSORS])
def test_a_regressor_answers_the_same_compiled(promote: Promote, make: Callable[[], Any]) -> None:
    data = table()
    check(promote(make().fit(data, data["width"] * 3 + data["age"]), data))
