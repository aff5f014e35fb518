"""scikit-learn's models that answer a matrix as they answer a DataFrame, and much sooner.

scikit-learn turns a frame into a matrix before it computes: it compares the names of the columns, looks at the type of each,
and converts. Names and types have been checked against the signature by then. So a model of the kinds below whose columns are
those of the signature is handed the matrix itself. Whatever else is found, models that mix or choose columns by name above all,
gets its frame.
"""

from collections.abc import Sequence
from typing import Any, Final

from serving.values import Array

_ENDS: Final = frozenset(
    {
        "BayesianRidge",
        "DecisionTreeClassifier",
        "DecisionTreeRegressor",
        "ElasticNet",
        "ExtraTreeClassifier",
        "ExtraTreeRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
        "GaussianNB",
        "GradientBoostingClassifier",
        "GradientBoostingRegressor",
        "HuberRegressor",
        "KMeans",
        "KNeighborsClassifier",
        "KNeighborsRegressor",
        "Lasso",
        "LinearDiscriminantAnalysis",
        "LinearRegression",
        "LinearSVC",
        "LinearSVR",
        "LogisticRegression",
        "LogisticRegressionCV",
        "MLPClassifier",
        "MLPRegressor",
        "QuadraticDiscriminantAnalysis",
        "RandomForestClassifier",
        "RandomForestRegressor",
        "Ridge",
        "RidgeClassifier",
        "SGDClassifier",
        "SGDRegressor",
        "SVC",
        "SVR",
    }
)
_STEPS: Final = frozenset(
    {
        "MaxAbsScaler",
        "MinMaxScaler",
        "Normalizer",
        "PCA",
        "PolynomialFeatures",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "SimpleImputer",
        "StandardScaler",
    }
)
_KINDS: Final = frozenset("fi")


def fits(matrix: Array) -> bool:
    """Whether a matrix of this type may take a frame's place: of floating point or signed integers."""
    return matrix.dtype.kind in _KINDS


def accept_matrix(model: object, names: Sequence[str | None]) -> bool:
    """Let `model` take a matrix whose columns are `names` in this order (None: without a name); False if it needs a frame.

    Forgets the names that the model was fitted with, about which it would warn each time.
    """
    steps = _steps(model)
    if steps is None or not _is_plain(steps[-1], _ENDS) or not all(_is_plain(step, _STEPS) for step in steps[:-1]):
        return False
    first, *later = steps
    known = vars(first).get("feature_names_in_")
    if known is not None and list(known) != list(names):
        return False
    if any("feature_names_in_" in vars(step) for step in later) or vars(first).get("n_features_in_") != len(names):
        return False
    if known is not None:
        del first.feature_names_in_
    return True


def _steps(model: Any) -> list[Any] | None:  # noqa: ANN401  whatever was logged
    """The steps of a pipeline, or the model alone; None for a pipeline that does more than pass on what each step gives."""
    if not _is_of_sklearn(model, "Pipeline"):
        return [model]
    if not model.steps or getattr(model, "transform_input", None):
        return None
    return [step for _, step in model.steps]


def _is_plain(step: object, kinds: frozenset[str]) -> bool:
    """Whether it is one of `kinds`, from scikit-learn itself, that was not asked to give frames (`set_output`)."""
    return any(_is_of_sklearn(step, kind) for kind in kinds) and not vars(step).get("_sklearn_output_config")


def _is_of_sklearn(step: object, kind: str) -> bool:
    return type(step).__name__ == kind and type(step).__module__.startswith("sklearn.")
