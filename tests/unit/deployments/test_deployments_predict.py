"""Predictions through the deployments plugin."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from stagedoor.mlflow_deployments.failure import DeploymentFailed
from tests.unit.deployments.conftest import client

FRAME = pd.DataFrame({"a": [1.0, None], "b": ["x", "y"]})


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        (FRAME, {"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, "x"], [None, "y"]]}}),
        (np.array([[1, 2]]), {"inputs": [[1, 2]]}),
        ([[1, 2]], {"inputs": [[1, 2]]}),
        ({"x": np.array([1, 2])}, {"inputs": {"x": [1, 2]}}),
        ({"inputs": [[1, 2]], "params": {"k": 1}}, {"inputs": [[1, 2]], "params": {"k": 1}}),
        ({"instances": np.array([3])}, {"instances": [3]}),
        ('{"inputs": [5]}', {"inputs": [5]}),
        (pd.DataFrame({"inputs": [[1, 2], [3, 4]]}), {"inputs": [[1, 2], [3, 4]]}),
        (
            pd.DataFrame({"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}),
            {"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}},
        ),
        (pd.DataFrame({"dataframe_records": [{"a": 1}]}), {"dataframe_records": [{"a": 1}]}),
    ],
)
def test_inputs_of_every_kind_become_a_body(stage: Any, inputs: Any, body: Any) -> None:
    answer = client(stage).predict("fraud", inputs)
    assert answer["predictions"] == [0.5]
    assert stage.invocations == [("fraud", body)]


def test_predict_reaches_aliases_and_versions(stage: Any) -> None:
    client(stage).predict("fraud@challenger", {"inputs": [1]})
    client(stage).predict("fraud/8", {"inputs": [1]})
    assert [ref for ref, _ in stage.invocations] == ["fraud@challenger", "fraud/8"]


@pytest.mark.parametrize(
    ("inputs", "told"),
    [(None, "no inputs|cannot be written"), ({"inputs": object()}, "cannot be written"), ({"inputs": float("nan")}, "NaN")],
)
def test_inputs_that_are_no_json_are_refused(stage: Any, inputs: Any, told: str) -> None:
    with pytest.raises(DeploymentFailed, match=told):
        client(stage).predict("fraud", inputs)


def test_the_gateways_refusal_is_passed_on(stage: Any) -> None:
    with pytest.raises(DeploymentFailed, match="expected numbers") as caught:
        client(stage).predict("fraud", {"inputs": "bad"})
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(DeploymentFailed):
        client(stage).predict(None, {"inputs": [1]})
