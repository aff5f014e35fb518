"""What moody.py would be if nothing could upset it."""

import mlflow
import pandas as pd


class Calm(mlflow.pyfunc.PythonModel):
    """Doubles `amount`."""

    def predict(self, context, model_input: pd.DataFrame, params=None):  # noqa: ANN001, ANN201
        return pd.DataFrame({"doubled": model_input["amount"] * 2.0})


mlflow.models.set_model(Calm())
