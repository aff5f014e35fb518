"""A model from code that misbehaves on request: what it is asked decides how."""

import time

import mlflow
import pandas as pd


class Moody(mlflow.pyfunc.PythonModel):
    """Doubles `amount`; 666 raises and quotes its input, 667 answers NaN, 668 takes its time."""

    def predict(self, context, model_input: pd.DataFrame, params=None):  # noqa: ANN001, ANN201
        amount = model_input["amount"]
        if (amount == 666).any():
            raise ValueError(f"cannot stand {model_input.to_dict()}")
        if (amount == 667).any():
            return pd.DataFrame({"doubled": amount * float("nan")})
        if (amount == 668).any():
            time.sleep(4)
        return pd.DataFrame({"doubled": amount * 2.0})


mlflow.models.set_model(Moody())
