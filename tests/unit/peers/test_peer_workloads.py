"""What is put before each neighbour, and what counts as a right answer."""

import json
from pathlib import Path

import numpy as np
import pytest
from peers.contract import FOREST, LINEAR, Workload
from peers.every import PEERS

ROW = np.asarray([[0.1, 2.0, -3.5]], np.float32)


def a_workload(*, expected: tuple[float, ...] = (0.25, 0.75), columns: tuple[str, ...] | None = None) -> Workload:
    return Workload(LINEAR, Path("model.onnx"), Path("mlmodel"), ROW, expected, columns)


def test_every_protocol_carries_the_same_row() -> None:
    plain, named = a_workload(), a_workload(columns=("a", "b", "c"))
    tensor = json.loads(plain.v2_body("X"))["inputs"][0]
    frame = json.loads(named.mlflow_body())["dataframe_split"]
    assert json.loads(plain.mlflow_body()) == {"inputs": ROW.tolist()}
    assert (tensor["name"], tensor["shape"], tensor["datatype"]) == ("X", [1, 3], "FP32")
    assert (frame["columns"], frame["data"]) == (["a", "b", "c"], ROW.tolist())
    assert np.array_equal(np.asarray(tensor["data"], np.float32), ROW[0])


@pytest.mark.parametrize(
    "answer",
    [
        b'{"predictions": {"label": [1], "probabilities": [[0.25, 0.75]]}}',
        b'{"outputs": [{"name": "label", "data": [1]}, {"name": "probabilities", "data": [0.2500001, 0.7499999]}]}',
        b"[[0.75, 0.25]]",
    ],
)
def test_the_expected_numbers_are_found_in_any_form(answer: bytes) -> None:
    assert a_workload().right(answer)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"predictions": {"label": [1], "probabilities": [[0.26, 0.74]]}}',
        b'{"predictions": [[0.25]]}',
        b'{"predictions": ["0.25", "0.75"]}',
        b'{"error": "no such model"}',
        b"<html>",
        b"",
    ],
)
def test_an_answer_without_the_expected_numbers_is_wrong(answer: bytes) -> None:
    assert not a_workload().right(answer)


def test_true_is_no_label() -> None:
    assert not a_workload(expected=(1.0,)).right(b'{"ok": true}')


def test_neighbours_have_names_of_their_own_and_only_mlflow_serves_the_forest() -> None:
    names = [peer.name for peer in PEERS]
    assert len(set(names)) == len(names)
    assert {peer.name for peer in PEERS if FOREST in peer.workloads} == {"mlflow", "mlflow-fast"}
