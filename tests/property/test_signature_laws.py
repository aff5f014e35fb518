"""Our compiled check against `mlflow.models.utils._enforce_schema`, over random signatures and data.

Ours is stricter where MLflow's scoring server changes values silently ("5" or true as a number, 1.7 as 1, dropped columns)
or guesses (dates not written in full), and more lenient where JSON cannot say better (a whole number for a float) or nothing
is lost (an integer that fits a narrower type).
"""

import json
import string
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mlflow.exceptions import MlflowException
from mlflow.models.utils import _enforce_params_schema, _enforce_schema
from mlflow.types import ParamSchema, ParamSpec, Schema
from mlflow.utils.proto_json_utils import dataframe_from_parsed_json

from serving.schema import Signature, compile_signature
from serving.values import UNNAMED, Inputs
from stagedoor.errors import SchemaMismatch

pytestmark = [pytest.mark.slow]

LAW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
FLOAT64 = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(string.ascii_letters + " 0123456789:é", max_size=8)
MOMENT = st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")).map(
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "integer": INT32,
    "long": INT64,
    "float": FLOAT32 | INT32 | st.none(),
    "double": FLOAT64 | INT64 | st.none(),
    "string": TEXT,
    "datetime": MOMENT | st.none(),
}
ANY_VALUE = st.none() | st.booleans() | INT64 | FLOAT64 | TEXT | MOMENT

names = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=5), min_size=1, max_size=5, unique=True)


@st.composite
def specs(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [
        {"type": draw(st.sampled_from(sorted(GOOD))), "name": name, "required": draw(st.booleans()) or place == 0}
        for place, name in enumerate(draw(names))
    ]


@st.composite
def good_rows(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    columns = draw(specs())
    sent = [c for c in columns if c["required"] or draw(st.booleans())]
    sent = draw(st.permutations(sent))
    count = draw(st.integers(1, 4))
    return columns, [{c["name"]: draw(GOOD[c["type"]]) for c in sent} for _ in range(count)]


def compiled(columns: list[dict[str, Any]]) -> Signature:
    return compile_signature(columns, None, None)


def schema_of(columns: list[dict[str, Any]]) -> Schema:
    return Schema.from_json(json.dumps(columns))


def theirs(columns: list[dict[str, Any]], rows: list[dict[str, Any]]) -> pd.DataFrame:
    """What MLflow's scoring server hands to the model for `dataframe_records`."""
    schema = schema_of(columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame: pd.DataFrame = _enforce_schema(dataframe_from_parsed_json(rows, "records", schema), schema)
    return frame


def assert_equal(inputs: Inputs, frame: pd.DataFrame) -> None:
    assert list(inputs.arrays) == list(frame.columns)
    for name, array in inputs.arrays.items():
        expected = frame[name].to_numpy()
        if array.dtype.kind in "OU":
            assert [v if isinstance(v, str) else None for v in array] == [v if isinstance(v, str) else None for v in expected]
        else:
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)


@LAW
@given(good_rows())
def test_rows_of_the_right_kinds_pass_and_reach_the_model_as_with_mlflow(case: tuple[list[Any], list[Any]]) -> None:
    columns, rows = case
    inputs = compiled(columns).form.records(rows, 10)
    assert inputs.rows == len(rows)
    all_null_dates = any(c["type"] == "datetime" and c["name"] in rows[0] and len(rows) > 1 for c in columns)
    if not all_null_dates or all(row.get(c["name"]) is not None for c in columns for row in rows if c["type"] == "datetime"):
        assert_equal(inputs, theirs(columns, rows))


@LAW
@given(good_rows())
def test_every_way_of_writing_a_table_gives_the_same_arrays(case: tuple[list[Any], list[Any]]) -> None:
    columns, rows = case
    form = compiled(columns).form
    sent = list(rows[0])
    reference = form.records(rows, 10)
    by_split = form.split(sent, [[row[name] for name in sent] for row in rows], 10)
    by_name = form.named({name: [row[name] for row in rows] for name in sent}, 10)
    for other in (by_split, by_name):
        assert list(other.arrays) == list(reference.arrays)
        for name, array in reference.arrays.items():
            np.testing.assert_array_equal(other.arrays[name], array)


@LAW
@given(specs(), st.data())
def test_what_passes_here_passes_mlflow_with_the_same_arrays(columns: list[dict[str, Any]], data: st.DataObject) -> None:
    row = {c["name"]: data.draw(GOOD[c["type"]] | ANY_VALUE) for c in columns}
    try:
        inputs = compiled(columns).form.records([row], 10)
    except SchemaMismatch:
        return
    if row not in ({}, None) and not any(c["type"] == "string" and row[c["name"]] is None for c in columns):
        assert_equal(inputs, theirs(columns, [row]))


@LAW
@given(good_rows(), st.data())
def test_a_value_of_another_kind_never_passes(case: tuple[list[Any], list[Any]], data: st.DataObject) -> None:
    columns, rows = case
    sent = [c for c in columns if c["name"] in rows[0]]
    column = data.draw(st.sampled_from(sent))
    wrong: dict[str, list[Any]] = {
        "boolean": [None, 0, 1.0, "true"],
        "integer": [None, True, 1.0, "1", 2**31, -(2**31) - 1],
        "long": [None, True, 1.0, "1", 2**63],
        "float": [True, "1.0", 1e39, []],
        "double": [True, "1.0", [], {}],
        "string": [True, 1, 1.0, [], {}],
        "datetime": [True, 1, 1.0, "soon", "2026-02-31", "2026-01-31T00:00:00Z", "1500-01-01"],
    }
    place = data.draw(st.integers(0, len(rows) - 1))
    rows[place][column["name"]] = data.draw(st.sampled_from(wrong[column["type"]]))
    with pytest.raises(SchemaMismatch) as caught:
        compiled(columns).form.records(rows, 10)
    assert caught.value.field == column["name"]


TYPED = st.sampled_from(["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float32", "float64"])


@LAW
@given(st.sampled_from(["boolean", "integer", "long", "float", "double"]), TYPED, st.data())
def test_typed_columns_that_mlflow_accepts_pass_here_unchanged(kind: str, dtype: str, data: st.DataObject) -> None:
    array = data.draw(hnp.arrays(dtype, 3, elements={"allow_infinity": False} if dtype.startswith("f") else None))
    columns = [{"type": kind, "name": "x", "required": True}]
    try:
        frame = _enforce_schema(pd.DataFrame({"x": array}), schema_of(columns))
    except MlflowException:
        return
    assert_equal(compiled(columns).form.frame({"x": array}, 10), frame)


@LAW
@given(
    st.sampled_from(["bool", "uint8", "int32", "int64", "float32", "float64"]),
    st.lists(st.sampled_from([-1, -1, 1, 2, 3]), min_size=1, max_size=3),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3),
    st.data(),
)
def test_a_tensor_passes_exactly_where_mlflow_passes_it(
    dtype: str, expected: list[int], shape: tuple[int, ...], data: st.DataObject
) -> None:
    array = data.draw(
        hnp.arrays(dtype, shape, elements={"allow_infinity": False, "allow_nan": False} if "float" in dtype else None)
    )
    columns = [{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": expected}}]
    form = compile_signature(columns, None, None).form
    try:
        reference = _enforce_schema(array, schema_of(columns))
    except MlflowException:
        with pytest.raises(SchemaMismatch):
            form.nested(array.tolist(), 10)
        return
    result = form.nested(array.tolist(), 10).arrays[UNNAMED]
    assert result.dtype == reference.dtype
    np.testing.assert_array_equal(result, reference)


PARAM_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "long": INT64,
    "double": FLOAT64 | INT32,
    "boolean": st.booleans(),
    "string": TEXT,
    "datetime": MOMENT,
}


@LAW
@given(st.sampled_from(sorted(PARAM_VALUES)), st.booleans(), st.data())
def test_params_are_what_mlflow_makes_of_them(kind: str, is_list: bool, data: st.DataObject) -> None:  # noqa: FBT001  drawn
    values = st.lists(PARAM_VALUES[kind], min_size=1, max_size=3) if is_list else PARAM_VALUES[kind]
    spec = ParamSpec("p", kind, data.draw(values), (-1,) if is_list else None)
    signature = compile_signature(None, None, [spec.to_dict()])
    sent = data.draw(st.just({}) | st.builds(lambda v: {"p": v}, values) | st.builds(lambda v: {"p": v}, ANY_VALUE))
    try:
        mine = dict(signature.params.check(sent))
    except SchemaMismatch:
        if kind != "datetime":  # numpy reads "" and "2026-01" as dates
            with pytest.raises(MlflowException):
                _enforce_params_schema(sent, ParamSchema([spec]))
        return
    reference = _enforce_params_schema(dict(sent), ParamSchema([spec]))
    assert mine == reference
    assert type(mine["p"]) is type(reference["p"])
