"""A regression that says how sure it is: the caller chooses the coverage of the interval."""

from statistics import NormalDist
from typing import Any

import mlflow
import pandas as pd
import skops.io
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class DiabetesInterval(PythonModel):
    """Artifact `regressor`: a scikit-learn pipeline that ends in a Bayesian ridge regression, saved by skops."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the regressor; what skops does not know to be safe is refused."""
        self._pipeline = skops.io.load(context.artifacts["regressor"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Disease progression after a year, with the interval that holds it with probability `params["coverage"]`."""
        coverage = float((params or {}).get("coverage", 0.9))
        if not 0 < coverage < 1:
            raise ValueError("coverage lies between 0 and 1")
        mean, deviation = self._pipeline.predict(model_input, return_std=True)
        reach = NormalDist().inv_cdf((1 + coverage) / 2) * deviation
        return pd.DataFrame({"progression": mean, "lower": mean - reach, "upper": mean + reach})


mlflow.models.set_model(DiabetesInterval())
