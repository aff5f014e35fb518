"""Which models of scikit-learn may be handed a matrix for a frame: those that answer it exactly as they answer the frame."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from serving.loading.loaders.estimators import accept_matrix, fits

NAMES = ["a", "b", "c"]
FRAME = pd.DataFrame(np.random.default_rng(1).normal(size=(40, 3)), columns=NAMES)
TARGET = (FRAME.sum(axis=1) > 0).astype(int).to_numpy()


class OwnRegression(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
    """It may do with its frame whatever it likes."""


PLAIN: dict[str, Callable[[], Any]] = {
    "logistic": LogisticRegression,
    "linear": LinearRegression,
    "forest": lambda: RandomForestClassifier(5, random_state=1),
    "extra trees": lambda: ExtraTreesRegressor(5, random_state=1),
    "tree": lambda: DecisionTreeRegressor(random_state=1),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=5, random_state=1),
    "bayes": GaussianNB,
    "neighbours": lambda: KNeighborsClassifier(3),
    "vectors": SVC,
    "network": lambda: MLPClassifier((4,), solver="lbfgs", max_iter=2000, tol=0.1, random_state=1),
    "scaled": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "imputed": lambda: make_pipeline(SimpleImputer(), PolynomialFeatures(), PCA(2), LogisticRegression()),
}


def answer(model: Any, data: Any) -> Any:
    """What it says, or how it fails."""
    try:
        return [getattr(model, name)(data).tolist() for name in ("predict", "predict_proba") if hasattr(model, name)]
    except ValueError as error:
        return type(error)


@pytest.mark.parametrize("fitted_on", [FRAME, FRAME.to_numpy()], ids=["frame", "matrix"])
@pytest.mark.parametrize("kind", PLAIN)
def test_a_matrix_is_answered_as_its_frame_was(kind: str, fitted_on: Any) -> None:
    model = PLAIN[kind]().fit(fitted_on, TARGET)
    named = isinstance(fitted_on, pd.DataFrame)
    rows = [FRAME[:5], FRAME[:1].astype("float32"), (FRAME * 3)[:4].astype("int64"), FRAME[:2].mask(FRAME[:2] > 0)]
    # A model without names warns of those of a frame, and answers as it answers the matrix.
    before = [answer(model, frame if named else frame.to_numpy()) for frame in rows]
    assert accept_matrix(model, NAMES)
    assert all(fits(frame.to_numpy()) for frame in rows)
    assert [answer(model, frame.to_numpy()) for frame in rows] == before


REFUSED: dict[str, tuple[Callable[[], Any], list[str | None]]] = {
    "another order": (LogisticRegression, ["b", "a", "c"]),
    "other names": (LogisticRegression, ["a", "b", "d"]),
    "no names": (LogisticRegression, [None, None, None]),
    "fewer": (LogisticRegression, ["a", "b"]),
    "a class of somebody's own": (OwnRegression, list(NAMES)),
    "columns by name": (
        lambda: make_pipeline(make_column_transformer((StandardScaler(), ["a"]), (PCA(1), ["b", "c"])), LogisticRegression()),
        list(NAMES),
    ),
    "a function of the frame": (lambda: make_pipeline(FunctionTransformer(lambda f: f * 2), LogisticRegression()), list(NAMES)),
    "frames between steps": (
        lambda: make_pipeline(StandardScaler(), LogisticRegression()).set_output(transform="pandas"),
        list(NAMES),
    ),
    "types of columns": (lambda: HistGradientBoostingClassifier(max_iter=2), list(NAMES)),
    "other models inside": (lambda: VotingClassifier([("a", LogisticRegression())]), list(NAMES)),
}


@pytest.mark.parametrize("why", REFUSED)
def test_any_doubt_means_a_frame(why: str) -> None:
    make, names = REFUSED[why]
    model = make().fit(FRAME, TARGET)
    before = answer(model, FRAME[:3])
    assert not accept_matrix(model, names)
    assert answer(model, FRAME[:3]) == before  # it still knows its names, and nothing warns


def test_a_model_that_was_never_fitted_gets_its_frame() -> None:
    assert not accept_matrix(LogisticRegression(), NAMES)


@pytest.mark.parametrize("other", [object(), "model", lambda rows: rows])
def test_what_is_no_model_of_scikit_learn_gets_its_frame(other: object) -> None:
    assert not accept_matrix(other, NAMES)


@pytest.mark.parametrize(("dtype", "expected"), [("float64", True), ("int32", True), ("bool", False), ("uint8", False)])
def test_only_numbers_that_frames_do_not_convert_first_may_go_as_a_matrix(dtype: str, *, expected: bool) -> None:
    assert fits(np.zeros((1, 3), dtype)) is expected
