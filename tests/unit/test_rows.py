"""Which requests go together, how their rows are put together, and how the answer is taken apart."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from serving.rows import divide, join, kind_of
from serving.values import UNNAMED, Array, Block, Inputs, Outputs

NAMES: Mapping[str, int] = {"a": 0, "b": 1}


def tensors(**arrays: Any) -> Inputs:
    made: dict[str, Array] = {name: np.asarray(value) for name, value in arrays.items()}
    first = next(iter(made.values()))
    return Inputs("tensors", made, len(first) if first.ndim else 1)


def table(**columns: Any) -> Inputs:
    return tensors(**columns)._replace(kind="table")


def block(rows: Any, positions: Mapping[str, int] = NAMES) -> Inputs:
    return Inputs("table", Block(np.asarray(rows), positions), len(rows))


def with_params(**params: Any) -> Inputs:
    return tensors(x=[1.0])._replace(params=params)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (tensors(x=[[1.0, 2.0]]), tensors(x=[[3.0, 4.0], [5.0, 6.0]])),
        (tensors(x=[1], y=[[1.0]]), tensors(x=[2, 3], y=[[1.0], [2.0]])),
        (table(x=np.array(["a"], object)), table(x=np.array(["b", None], object))),
        (block([[1.0, 2.0]]), block([[3.0, 4.0], [5.0, 6.0]])),
        (with_params(beams=2), with_params(beams=2)),
        (with_params(), tensors(x=[1.0])),
    ],
)
def test_what_differs_in_rows_and_values_only_goes_together(one: Inputs, other: Inputs) -> None:
    assert kind_of(one) == kind_of(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (tensors(x=[1.0]), tensors(x=[1])),
        (tensors(x=[1.0]), tensors(y=[1.0])),
        (tensors(x=[1.0]), tensors(x=[1.0], y=[1.0])),
        (tensors(x=[1.0]), table(x=[1.0])),
        (tensors(x=[[1.0]]), tensors(x=[[1.0, 2.0]])),
        (tensors(x=[[1.0]]), tensors(x=[1.0])),
        (block([[1.0, 2.0]]), block([[1, 2]])),
        (block([[1.0, 2.0]]), block([[1.0, 2.0]], {"b": 0, "a": 1})),
        (block([[1.0, 2.0]]), block([[1.0, 2.0, 3.0]], {"a": 0, "b": 1, "c": 2})),
        (block([[1.0, 2.0]]), table(a=[1.0], b=[2.0])),
        (with_params(beams=1), with_params(beams=2)),
        (with_params(beams=1), with_params(beams=True)),
        (with_params(beams=1), with_params(beams=1.0)),
        (with_params(beams="1"), with_params(beams=1)),
        (with_params(beams=1), tensors(x=[1.0])),
    ],
)
def test_what_differs_in_anything_else_does_not(one: Inputs, other: Inputs) -> None:
    assert kind_of(one) != kind_of(other)


@pytest.mark.parametrize(
    "inputs",
    [
        Inputs("tensors", {UNNAMED: np.float64(1.0) * np.ones(())}, 1),
        Inputs("tensors", {UNNAMED: np.ones((0, 2))}, 0),
        Inputs("tensors", {"x": np.ones(2), "weights": np.ones(3)}, 2),
        Inputs("table", {}, 0),
        Inputs("table", MappingProxyType({}), 1),
    ],
)
def test_what_has_no_rows_in_common_goes_with_nothing(inputs: Inputs) -> None:
    assert kind_of(inputs) is None


def test_tensors_are_put_together_in_order() -> None:
    whole = join([tensors(x=[[1.0]], y=[1]), tensors(x=[[2.0], [3.0]], y=[2, 3])])
    assert (whole.kind, whole.rows) == ("tensors", 3)
    assert whole.arrays["x"].tolist() == [[1.0], [2.0], [3.0]]
    assert whole.arrays["y"].tolist() == [1, 2, 3]


def test_a_block_stays_a_block() -> None:
    whole = join([block([[1.0, 2.0]]), block([[3.0, 4.0]])])
    assert isinstance(whole.arrays, Block)
    assert whole.arrays.positions is NAMES
    assert whole.arrays.matrix.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert whole.rows == 2


def test_params_go_with_the_rows() -> None:
    assert join([with_params(beams=2), with_params(beams=2)]).params == {"beams": 2}


@pytest.mark.parametrize("kind", ["named", "table"])
def test_each_gets_their_rows_of_every_array(kind: Any) -> None:
    whole = Outputs(kind, {"label": np.array([1, 2, 3]), "scores": np.arange(6).reshape(3, 2)})
    first, second = divide(whole, [1, 2]) or ()
    assert (first.kind, second.kind) == (kind, kind)
    assert first.arrays["label"].tolist() == [1]
    assert second.arrays["scores"].tolist() == [[2, 3], [4, 5]]


def test_shares_are_views() -> None:
    whole = np.arange(6.0)
    shares = divide(Outputs.of_array(whole), [2, 4]) or ()
    assert all(np.shares_memory(whole, share.arrays[UNNAMED]) for share in shares)


def test_a_list_of_objects_is_divided() -> None:
    shares = divide(Outputs("json", value=[{"a": 1}, {"a": 2}, {"b": 3}]), [1, 2])
    assert shares == [Outputs("json", value=[{"a": 1}]), Outputs("json", value=[{"a": 2}, {"b": 3}])]


@pytest.mark.parametrize(
    "outputs",
    [
        Outputs.of_array(np.ones(2)),
        Outputs.of_array(np.ones((1, 3))),
        Outputs.of_array(np.ones(())),
        Outputs("named", {"score": np.ones(3), "mean": np.ones(1)}),
        Outputs("named"),
        Outputs("json", value={"a": [1, 2, 3]}),
        Outputs("json", value=[{}, {}]),
        Outputs("json", value=[1, "b", None]),
        Outputs("json", value=[{}, {}, 3]),
        Outputs("json", value="abc"),
    ],
)
def test_what_has_not_one_entry_per_row_cannot_be_divided(outputs: Outputs) -> None:
    assert divide(outputs, [1, 2]) is None
