"""Whether a model can be loaded without unpickling anything: a pickle may run any code while it loads.

MLflow's own switch (`MLFLOW_ALLOW_PICKLE_DESERIALIZATION`) lumps skops together with pickles, because a model's file may
itself name the types that skops is to trust. Here those names are held against a list, which makes skops safe to load.
Code that is logged as code (`models from code`, `code_paths`) is served: it is a text that a reviewer can read.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from serving.loading.mlmodel import MLModel
from stagedoor.errors import UnsafeArtifact

# What the estimators of scikit-learn and of boosted trees need beyond the types that skops trusts by itself: all hold
# numbers and settings, none runs what it is given.
SAFE_SKOPS_TYPES: Final = frozenset(
    {
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRanker",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.metrics._dist_metrics.EuclideanDistance",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._ball_tree.BallTree64",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._kd_tree.KDTree64",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRanker",
        "xgboost.sklearn.XGBRegressor",
    }
)
_SUFFIXES: Final = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"})
_PROTOCOLS: Final = frozenset(bytes((0x80, protocol)) for protocol in range(2, 6))
_MOST_TYPES: Final = 3
_LONGEST_TYPE: Final = 80
_OR_ALLOW: Final = "or, if everybody who can register models here may run code here, set STAGEDOOR_ALLOW_PICKLE=true."


def refuse_pickles(mlmodel: MLModel) -> None:
    """Raise UnsafeArtifact if loading this model would unpickle something; says how to log it without."""
    for name, conf in mlmodel.flavors.items():
        if conf.get("serialization_format") in {"pickle", "cloudpickle"}:
            raise UnsafeArtifact(
                f'The {name} model is a pickle. Log it with serialization_format="skops" (or the pickle-free format that its '
                f"flavour has), {_OR_ALLOW}"
            )
        unknown = sorted(set(_trusted_types(conf)) - SAFE_SKOPS_TYPES)
        if unknown:
            named = ", ".join(text[:_LONGEST_TYPE] for text in unknown[:_MOST_TYPES])
            raise UnsafeArtifact(
                f"The {name} model asks to trust {len(unknown)} skops types that are not known to be harmless ({named}). "
                f"Log it as ONNX, {_OR_ALLOW}"
            )
    if "python_model" in mlmodel.flavors.get("python_function", {}):
        raise UnsafeArtifact(
            "The PythonModel is a pickle. Log it as code (mlflow.pyfunc.log_model(python_model='path/to/model.py') with "
            f"mlflow.models.set_model in that file), {_OR_ALLOW}"
        )
    for path in _pickles(mlmodel.folder):
        raise UnsafeArtifact(f"The model's file {path.name} is a pickle. Log the model in a format without, {_OR_ALLOW}")


def needs_skops(mlmodel: MLModel) -> bool:
    """Whether some flavour of it is stored as skops."""
    return any(conf.get("serialization_format") == "skops" for conf in mlmodel.flavors.values())


def _trusted_types(conf: Mapping[str, Any]) -> list[str]:
    types = conf.get("skops_trusted_types") or []
    return [str(name) for name in types] if isinstance(types, list) else [str(types)]


def _pickles(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.suffix.lower() in _SUFFIXES or _starts_like_a_pickle(path)):
            yield path


def _starts_like_a_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in _PROTOCOLS
