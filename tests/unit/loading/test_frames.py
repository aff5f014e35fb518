"""Frames made of blocks are the frames that pandas would have made."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.loading.loaders import frames
from serving.loading.loaders.frames import Frames
from serving.values import UNNAMED, Block, Inputs

KINDS: dict[str, Any] = {
    "float64": [1.5, float("nan"), -0.0],
    "float32": [0.5, 1.25, 3.0],
    "int64": [1, -(2**63), 3],
    "int32": [1, 2, 3],
    "uint8": [0, 255, 3],
    "bool": [True, False, True],
    "object": ["a", None, ["x"]],
    "datetime64[ns]": ["2026-01-31T09:30", "NaT", "1999-12-31"],
}


def column(kind: str, rows: int) -> np.ndarray[Any, Any]:
    array = np.empty(rows, np.dtype(kind))
    for place in range(rows):
        array[place] = KINDS[kind][place]
    return array


def of_pandas(inputs: Inputs) -> pd.DataFrame:
    """Column by column, by the ordinary constructor."""
    return pd.DataFrame({name: pd.Series(array, dtype=array.dtype) for name, array in inputs.arrays.items()})


def block(kind: str, rows: int, names: list[str]) -> Inputs:
    matrix = np.arange(rows * len(names)).astype(kind).reshape(rows, len(names))
    return Inputs("table", Block(matrix, {name: place for place, name in enumerate(names)}), rows)


TABLES = st.builds(
    lambda kinds, rows: Inputs("table", {f"c{place}": column(kind, rows) for place, kind in enumerate(kinds)}, rows),
    st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6),
    st.integers(1, 3),
)
BLOCKS = st.builds(
    block,
    st.sampled_from(["float64", "float32", "int64", "bool"]),
    st.integers(1, 3),
    st.sampled_from([["a"], ["b", "a", "c d"]]),
)


@given(TABLES | BLOCKS)
def test_a_frame_is_the_one_that_pandas_makes(inputs: Inputs) -> None:
    pd.testing.assert_frame_equal(Frames().build(inputs), of_pandas(inputs), check_index_type=True, check_flags=True)


@given(st.lists(TABLES | BLOCKS, min_size=2, max_size=4))
def test_what_was_built_before_does_not_show(tables: list[Inputs]) -> None:
    made = Frames()
    for inputs in tables:
        pd.testing.assert_frame_equal(made.build(inputs), of_pandas(inputs))


@pytest.mark.parametrize("kind", ["float64", "int64", "bool"])
def test_a_frame_of_blocks_does_what_others_do(kind: str) -> None:
    inputs = block(kind, 3, ["a", "b", "c"])
    mine, theirs = Frames().build(inputs), of_pandas(inputs)
    for do in (
        lambda f: f[["c", "a"]],
        lambda f: f.assign(d=f["a"] + 1, a=0),
        lambda f: f.drop(columns="b"),
        lambda f: f.iloc[1:].reset_index(drop=True),
        lambda f: pd.concat([f, f]),
        lambda f: f.astype("float64").sum(),
        lambda f: pd.DataFrame(f.to_numpy(), columns=f.columns),
        lambda f: f.rename(columns={"a": "z"}).sort_values("z", ascending=False),
    ):
        result, expected = do(mine), do(theirs)
        assert result.equals(expected)
        assert list(result.index) == list(expected.index)


def test_a_model_may_write_into_its_frame() -> None:
    inputs = Inputs("table", {"a": np.array([1.0]), "b": np.array(["x"], object)}, 1)
    frame = Frames().build(inputs)
    frame["a"] = 2.0
    frame.loc[0, "b"] = "y"
    frame["new"] = [3]
    assert frame.to_dict(orient="records") == [{"a": 2.0, "b": "y", "new": 3}]


def test_a_column_without_a_name_is_called_0() -> None:
    frame = Frames().build(Inputs("table", {UNNAMED: np.array([1.0, 2.0])}, 2))
    assert frame.to_dict(orient="list") == {0: [1.0, 2.0]}


@given(inputs=TABLES | BLOCKS)
def test_older_versions_of_pandas_make_the_same_frame(inputs: Inputs) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "_assemble", lambda: None)
        pd.testing.assert_frame_equal(Frames().build(inputs), of_pandas(inputs))
