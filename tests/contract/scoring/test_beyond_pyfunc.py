"""Answers where MLflow's own scoring server has none: in the other protocols, and where it fails."""

import json
from typing import Any

import numpy as np
import pytest

from stagedoor.errors import SchemaMismatch

from .conftest import CSV, FILES, LISTS, ROWS, SPLIT, Models, assert_same, ours, theirs
from .models import FEATURES

pytestmark = [pytest.mark.slow]
MATRIX = {"name": "input-1", "shape": [3, 4], "datatype": "FP64", "data": LISTS}
BY_COLUMN = [{"name": name, "shape": [3, 1], "datatype": "FP64", "data": ROWS[name].tolist()} for name in FEATURES]


@pytest.mark.parametrize(
    "name", ["sklearn columns", "sklearn tensor", "sklearn bare", "onnx tensor", "onnx columns", "onnx bare"]
)
def test_every_protocol_gives_the_same_numbers(models: Models, name: str) -> None:
    _, version = models(name)
    columns = "columns" in name
    reference = ours(version, "mlflow", json.dumps(SPLIT if columns else {"inputs": LISTS}).encode())["predictions"]
    matrix = {**MATRIX, "name": version.signature.inputs[0].name} if name == "onnx bare" else MATRIX
    bodies = [{"inputs": [matrix]}] + ([{"inputs": BY_COLUMN}] if columns else [])
    by_name = _by_output(reference)
    for body in bodies:
        tensors = {
            t["name"]: np.reshape(t["data"], t["shape"]).tolist()
            for t in ours(version, "v2", json.dumps(body).encode())["outputs"]
        }
        assert list(tensors.values()) == list(by_name.values())
    simple = ours(version, "simple", json.dumps({"data": LISTS, "metadata": {"a": 1}}).encode())
    assert simple["metadata"] == {"a": 1}
    assert simple["predictions"] == next(iter(by_name.values()))
    flat = ours(version, "simple", json.dumps({"data": [value for row in LISTS for value in row], "shape": [3, 4]}).encode())
    assert flat["predictions"] == simple["predictions"]
    if name.startswith("onnx"):
        assert simple["confidence"] == [max(row) for row in by_name["probabilities"]]


def _by_output(predictions: Any) -> dict[str, Any]:
    """A MLflow answer as one nested list for each output."""
    if isinstance(predictions, dict):
        return predictions
    if isinstance(predictions[0], dict):
        return {name: [row[name] for row in predictions] for name in predictions[0]}
    return {"output-1": predictions}


def test_onnx_with_several_outputs_answers_a_table_where_mlflow_fails(models: Models) -> None:
    from mlflow.exceptions import MlflowException

    model, version = models("onnx columns")
    body = json.dumps(SPLIT).encode()
    with pytest.raises(MlflowException):
        theirs(model, body)
    raw = model.get_raw_model().run(None, {model.get_raw_model().get_inputs()[0].name: ROWS.to_numpy().astype(np.float32)})
    answer = _by_output(ours(version, "mlflow", body)["predictions"])
    assert answer["label"] == raw[0].tolist()
    assert answer["probabilities"] == raw[1].tolist()


def test_csv_fits_a_tensor_signature_where_mlflow_fails(models: Models) -> None:
    model, version = models("sklearn tensor")
    expected = theirs(model, json.dumps({"inputs": LISTS}).encode())
    assert_same(ours(version, "mlflow", FILES[0][1], CSV)["predictions"], expected)


def test_rows_without_names_are_taken_in_the_signatures_order(models: Models) -> None:
    """MLflow refuses them for signatures with names."""
    model, version = models("sklearn columns")
    expected = theirs(model, json.dumps(SPLIT).encode())
    assert_same(ours(version, "mlflow", json.dumps({"inputs": LISTS}).encode())["predictions"], expected)
    assert_same(ours(version, "mlflow", json.dumps({"instances": LISTS}).encode())["predictions"], expected)


def test_what_a_model_cannot_take_is_refused_before_it_runs(models: Models) -> None:
    _, version = models("onnx bare")
    with pytest.raises(SchemaMismatch):
        ours(version, "mlflow", json.dumps({"inputs": [row[:3] for row in LISTS]}).encode())
