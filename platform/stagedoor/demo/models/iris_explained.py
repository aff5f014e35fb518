"""A custom model with something before and after the classifier: units in, species, confidence and a reason out."""

from typing import Any

import mlflow
import numpy as np
import pandas as pd
import skops.io
from mlflow.pyfunc.model import PythonModel, PythonModelContext

_CENTIMETRES = {"cm": 1.0, "mm": 0.1, "inch": 2.54}


class IrisExplained(PythonModel):
    """Artifact `classifier`: a scikit-learn pipeline of a scaler and a logistic regression, saved by skops."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the classifier; what skops does not know to be safe is refused."""
        self._pipeline = skops.io.load(context.artifacts["classifier"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """One row a flower. `params["unit"]` is cm, mm or inch."""
        factor = _CENTIMETRES[(params or {}).get("unit", "cm")]
        measured = model_input.astype("float64") * factor
        probabilities = self._pipeline.predict_proba(measured)
        best = probabilities.argmax(axis=1)
        return pd.DataFrame(
            {
                "species": self._pipeline.classes_[best].astype(str),
                "confidence": probabilities.max(axis=1),
                "because": self._decisive(measured, best),
            }
        )

    def _decisive(self, measured: pd.DataFrame, best: np.ndarray[Any, Any]) -> list[str]:
        """The measurement that spoke loudest for each answer: the largest term of its linear score."""
        scaled = self._pipeline[:-1].transform(measured)
        terms = scaled * self._pipeline[-1].coef_[best]
        return [str(measured.columns[column]) for column in terms.argmax(axis=1)]


mlflow.models.set_model(IrisExplained())
