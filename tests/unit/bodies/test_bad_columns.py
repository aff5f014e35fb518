"""The section "Body" of the list of bad inputs, against the codecs: tables and params that do not fit a model."""

import io

import pandas as pd
import pytest

from serving.schema import compile_signature
from stagedoor.errors import InvalidRequest, MalformedBody, SchemaMismatch

from .decoding import MAX_ROWS, MIXED, NUMBERS, columns, decode, infer

ROW = {"age": 1.0, "count": 2, "name": "x", "good": True}
WRONG_VALUES: dict[str, tuple[str, object]] = {
    "a string in a number column": ("age", "5"),
    "a boolean in a number column": ("age", True),
    "a list in a number column": ("age", [1.0]),
    "an object in a number column": ("age", {"a": 1}),
    "a float in an integer column": ("count", 1.5),
    "a whole float in an integer column": ("count", 1.0),
    "null in an integer column": ("count", None),
    "a boolean in an integer column": ("count", True),
    "an integer beyond 64 bits": ("count", 2**63),
    "an integer beyond all bits": ("count", 2**70),
    "a number in a string column": ("name", 5),
    "a boolean in a string column": ("name", True),
    "an integer in a boolean column": ("good", 1),
    "null in a boolean column": ("good", None),
}


@pytest.mark.parametrize(("field", "value"), WRONG_VALUES.values(), ids=WRONG_VALUES)
@pytest.mark.parametrize("style", ["split", "records", "instances", "inputs", "simple"])
def test_a_wrong_value_names_its_column_and_not_itself(style: str, field: str, value: object) -> None:
    row = {**ROW, field: value}
    bodies: dict[str, tuple[str, object]] = {
        "split": ("mlflow", {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}),
        "records": ("mlflow", {"dataframe_records": [ROW, row]}),
        "instances": ("mlflow", {"instances": [row]}),
        "inputs": ("mlflow", {"inputs": {name: [ROW[name], item] for name, item in row.items()}}),
        "simple": ("simple", {"data": [row]}),
    }
    with pytest.raises(SchemaMismatch) as caught:
        decode(*bodies[style], MIXED)
    assert caught.value.field == field
    assert str(value) not in str(caught.value) or value in (True, 1, 5, 1.0)


WRONG_COLUMNS: dict[str, object] = {
    "extra": {**ROW, "extra": 1},
    "missing": {name: value for name, value in ROW.items() if name != "count"},
    "misspelt": {**{name: value for name, value in ROW.items() if name != "count"}, "cuont": 1},
    "none": {},
}


@pytest.mark.parametrize("row", WRONG_COLUMNS.values(), ids=WRONG_COLUMNS)
@pytest.mark.parametrize("style", ["split", "records", "instances", "inputs", "simple"])
def test_wrong_columns_are_refused(style: str, row: dict[str, object]) -> None:
    bodies: dict[str, tuple[str, object]] = {
        "split": ("mlflow", {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}),
        "records": ("mlflow", {"dataframe_records": [row]}),
        "instances": ("mlflow", {"instances": [ROW, row]}),
        "inputs": ("mlflow", {"inputs": {name: [item] for name, item in row.items()}}),
        "simple": ("simple", {"data": row}),
    }
    with pytest.raises(SchemaMismatch):
        decode(*bodies[style], MIXED)


def test_a_misspelt_column_is_told_the_nearest_name() -> None:
    with pytest.raises(SchemaMismatch, match="did you mean count") as caught:
        decode("mlflow", {"instances": [{**ROW, "cuont": 1}]}, MIXED)
    assert "cuont" not in str(caught.value)


def test_a_very_long_unknown_name_is_refused_without_searching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difflib.get_close_matches", lambda *_, **__: pytest.fail("a search takes the square of the length"))
    with pytest.raises(SchemaMismatch):
        decode("mlflow", {"inputs": {"age" * 1_000_000: [1.0]}}, NUMBERS)


WRONG_SPLITS: dict[str, object] = {
    "a column twice": {"columns": ["age", "age"], "data": [[1.0, 2.0]]},
    "too few values": {"columns": ["age", "size"], "data": [[1.0]]},
    "ragged rows": {"columns": ["age", "size"], "data": [[1.0, 2.0], [1.0]]},
    "no rows": {"columns": ["age", "size"], "data": []},
    "a row that is no list": {"columns": ["age", "size"], "data": [1.0, 2.0]},
    "no data": {"columns": ["age", "size"]},
    "an index of another length": {"columns": ["age", "size"], "index": [0, 1], "data": [[1.0, 2.0]]},
    "an unknown key": {"columns": ["age", "size"], "data": [[1.0, 2.0]], "role": "admin"},
    "columns that are no names": {"columns": [None, {}], "data": [[1.0, 2.0]]},
    "columns that are no list": {"columns": "age", "data": [[1.0, 2.0]]},
    "not an object": [[1.0, 2.0]],
}


@pytest.mark.parametrize("split", WRONG_SPLITS.values(), ids=WRONG_SPLITS)
def test_a_wrong_split_is_refused(split: object) -> None:
    with pytest.raises((SchemaMismatch, InvalidRequest)):
        decode("mlflow", {"dataframe_split": split}, NUMBERS)


@pytest.mark.parametrize("values", [{"age": [], "size": []}, {"age": [1.0], "size": []}, {"age": [1.0], "size": 2.0}, {}])
@pytest.mark.parametrize("key", ["inputs", "instances"])
def test_columns_without_rows_or_of_several_lengths_are_refused(key: str, values: object) -> None:
    with pytest.raises(SchemaMismatch):
        decode("mlflow", {key: values}, NUMBERS)


@pytest.mark.parametrize("body", [{"inputs": {}}, {"inputs": [{}]}, {"dataframe_split": {"columns": [], "data": [[]]}}])
def test_a_row_without_any_column_is_refused_where_all_are_optional(body: object) -> None:
    signature = compile_signature([{"type": "double", "name": "age", "required": False}], None, None)
    with pytest.raises(SchemaMismatch):
        decode("mlflow", body, signature)


BAD_FILES = {
    "an empty CSV": ("text/csv", b""),
    "CSV that is no UTF-8": ("text/csv", b"age,size\n\xff,1\n"),
    "CSV with a header alone": ("text/csv", b"age,size\n"),
    "CSV with too long lines": ("text/csv", b"age,size\n1,2,3\n"),
    "CSV with a string for a number": ("text/csv", b"age,size\n1,x\n"),
    "CSV with a column too few": ("text/csv", b"age\n1\n"),
    "CSV with a column twice": ("text/csv", b"age,size,age\n1,2,3\n"),
    "no Parquet": ("application/vnd.apache.parquet", b"PAR1 not really PAR1"),
    "an empty Parquet": ("application/x-parquet", b""),
}


@pytest.mark.parametrize(("content_type", "body"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises((MalformedBody, SchemaMismatch)):
        decode("mlflow", body, NUMBERS, content_type)


def test_a_csv_of_too_many_columns_is_malformed() -> None:
    with pytest.raises(MalformedBody):
        decode("mlflow", b"," * 60_000 + b"\n", NUMBERS, "text/csv")


def test_one_long_string_in_every_row_of_a_parquet_file_is_kept_once() -> None:
    text = "y" * 1_000_000
    buffer = io.BytesIO()
    pd.DataFrame({"name": [text] * MAX_ROWS}).to_parquet(buffer)
    column = decode("mlflow", buffer.getvalue(), columns(name="string"), "application/x-parquet").inputs.arrays["name"]
    assert column.tolist() == [text] * MAX_ROWS
    assert len(set(map(id, column))) == 1


PARAMS = compile_signature(
    [{"type": "double", "name": "x", "required": True}],
    None,
    [
        {"name": "power", "type": "long", "default": 2, "shape": None},
        {"name": "weights", "type": "double", "default": [1.0], "shape": [-1]},
    ],
)


@pytest.mark.parametrize(
    "params", [{"powr": 3}, {"power": "3"}, {"power": True}, {"power": 1.5}, {"weights": 1.0}, {"weights": ["a"]}, [], "x", 5]
)
def test_wrong_params_are_refused(params: object) -> None:
    with pytest.raises(SchemaMismatch):
        decode("mlflow", {"inputs": [1.0], "params": params}, PARAMS)


def test_params_without_a_place_in_the_signature_are_refused() -> None:
    with pytest.raises(SchemaMismatch):
        decode("mlflow", {"inputs": [[1.0, 2.0]], "params": {"power": 3}}, NUMBERS)
    with pytest.raises(SchemaMismatch):
        decode("v2", infer(parameters={"power": 3}), NUMBERS)
