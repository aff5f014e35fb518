"""A model that says on stderr what each prediction was for, and takes its time over it."""

import os
import time

import mlflow
import pandas as pd


class Counted(mlflow.pyfunc.PythonModel):
    """Doubles `amount`; 666 raises, 668 takes longer than anybody waits."""

    def predict(self, context, model_input: pd.DataFrame, params=None):  # noqa: ANN001, ANN201
        amount = model_input["amount"]
        os.write(2, f"counted {amount.tolist()}\n".encode())
        if (amount == 666).any():
            raise ValueError("cannot stand it")
        time.sleep(3 if (amount == 668).any() else 0.05)
        return pd.DataFrame({"doubled": amount * 2.0})


mlflow.models.set_model(Counted())
