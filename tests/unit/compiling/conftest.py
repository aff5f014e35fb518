"""Real models of the three libraries, saved as MLflow saves them, and their compiled forms."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serving.loading.loaders.options import LoadOptions
from serving.loading.probe import stop_probing
from serving.loading.version import Version, load_version

OPTIONS = LoadOptions(allow_pickle=True)
COLUMNS = ["width", "height", "age", "weight"]


@dataclass(frozen=True)
class Promoted:
    """A version's folder, what was said of it, and the folder of its compiled form."""

    folder: Path
    said: str
    made: bool
    compiled: Path

    def versions(self) -> tuple[Version, Version]:
        """The version itself and its compiled form, both loaded."""
        return tuple(load_version(path, "m", "1", "d", OPTIONS) for path in (self.folder, self.compiled))  # type: ignore[return-value]


Promote = Callable[..., Promoted]
Save = Callable[..., Path]


def table(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(10, 3, size=(rows, 4)), columns=COLUMNS)


def labels(frame: pd.DataFrame, classes: list[Any]) -> Any:
    score = frame.iloc[:, 0] + (frame.iloc[:, 1] - 10) ** 2 / 4 - frame.iloc[:, 2] / 2
    return np.array(classes)[np.digitize(score, np.quantile(score, np.linspace(0, 1, len(classes) + 1)[1:-1]))]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves a fitted model with a signature and two rows of example."""
    count = iter(range(100))

    def write(model: Any, data: Any, answer: str = "predict", **changes: Any) -> Path:
        import mlflow
        from mlflow.models import infer_signature

        folder = tmp_path / f"model-{next(count)}"
        library = type(model).__module__.split(".")[0]
        given: dict[str, Any] = {"pip_requirements": [], "input_example": data[:2]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns about pickles and integers
            given["signature"] = infer_signature(data, getattr(model, answer)(data))
            if library == "lightgbm":
                mlflow.lightgbm.save_model(model, folder, **{"serialization_format": "cloudpickle"} | given | changes)
            elif library == "xgboost":
                mlflow.xgboost.save_model(model, folder, **given | changes)
            else:
                given |= {"serialization_format": "pickle", "pyfunc_predict_fn": answer}
                mlflow.sklearn.save_model(model, folder, **given | changes)
        return folder

    return write


@pytest.fixture
def promote(save: Save, tmp_path: Path) -> Promote:
    """Saves a model and compiles it, in this process."""

    def run(model: Any, data: Any, answer: str = "predict", **changes: Any) -> Promoted:
        from serving.compiling.child import compile_here

        folder = save(model, data, answer, **changes)
        into = folder.with_name(f"{folder.name}-compiled")
        into.mkdir()
        request = {
            "folder": str(folder),
            "into": str(into),
            "options": asdict(OPTIONS),
            "golden": [],
            "source": "d" * 64,
            "tools": "t",
        }
        with warnings.catch_warnings():
            report = compile_here(request)
        return Promoted(folder, report["said"], report["made"], into)

    return run


@pytest.fixture(scope="session", autouse=True)
def _end_children() -> Iterator[None]:
    yield
    stop_probing()
