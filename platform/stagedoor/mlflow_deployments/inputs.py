"""Inputs of a prediction as the body of `/invocations`."""

import json
from typing import Any, Final

import pandas as pd
from mlflow.models import convert_input_example_to_serving_input

from stagedoor.mlflow_deployments.failure import DeploymentFailed

KEYS: Final = frozenset({"dataframe_split", "dataframe_records", "instances", "inputs"})


def invocations_body(inputs: Any) -> str:  # noqa: ANN401  what MLflow's clients take
    """JSON text of a DataFrame, array, list, dict of arrays, or of a body that already has one of KEYS.

    `mlflow deployments predict` reads its file with `pandas.read_json`, records or a whole body alike: the one column
    that is called as one of KEYS gives a body away. Raises DeploymentFailed.
    """
    if isinstance(inputs, str):
        return inputs
    if isinstance(inputs, dict) and not KEYS.isdisjoint(inputs):
        return _dumps(inputs)
    if isinstance(inputs, pd.DataFrame) and len(inputs.columns) == 1 and inputs.columns[0] in KEYS:
        return _dumps(_taken_back(inputs))
    try:
        if isinstance(inputs, pd.DataFrame):
            return f'{{"dataframe_split": {_split(inputs)}}}'
        body = convert_input_example_to_serving_input(inputs)
    except Exception as error:  # MLflow and pandas raise their own kinds for what they cannot write down
        raise DeploymentFailed(
            "These inputs cannot be written as JSON. Give a DataFrame, an array, or a dict of them."
        ) from error
    if body is None:
        raise DeploymentFailed("There are no inputs. Give a DataFrame, an array, or a dict of them.")
    return str(body)


def _taken_back(frame: pd.DataFrame) -> dict[str, Any]:
    """The body that pandas took for a table."""
    key = str(frame.columns[0])
    column = frame.iloc[:, 0]
    if key == "dataframe_split" or not isinstance(frame.index, pd.RangeIndex):
        return {key: {str(name): value for name, value in column.items()}}
    return {key: column.tolist()}


def _split(frame: pd.DataFrame) -> str:
    """What is missing becomes null, and times are written as ISO 8601."""
    return str(frame.reset_index(drop=True).to_json(orient="split", index=False, date_format="iso", date_unit="us"))


def _dumps(body: dict[str, Any]) -> str:
    try:
        return json.dumps(body, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DeploymentFailed("These inputs cannot be written as JSON. NaN and Infinity have no place in it.") from error


def _plain(value: Any) -> Any:  # noqa: ANN401  numpy's and pandas' values
    if isinstance(value, pd.DataFrame):
        return json.loads(_split(value))
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError("not JSON")
