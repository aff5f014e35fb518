"""The sections "Body" and "Tensors" of the list of bad inputs, against the codecs."""

import io
import json
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serving.codecs import CODECS, Wire
from serving.schema import Signature, compile_signature
from stagedoor.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    MalformedHeader,
    SchemaMismatch,
    StagedoorError,
    UnsupportedMediaType,
)

MAX_ROWS = 10


def columns(**types: str) -> Signature:
    return compile_signature([{"type": kind, "name": name, "required": True} for name, kind in types.items()], None, None)


def tensor(dtype: str, *shape: int, name: str | None = None) -> Signature:
    spec: dict[str, Any] = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}
    return compile_signature([{**spec, "name": name} if name else spec], None, None)


NUMBERS = columns(age="double", size="double")
MIXED = columns(age="double", count="long", name="string", good="boolean")
MATRIX = tensor("float64", -1, 2)


def decode(codec: str, body: object, signature: Signature, content_type: str = "application/json", **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return CODECS[codec].decode(Wire(raw, content_type, named), signature, MAX_ROWS)


def infer(shape: object = (1, 2), datatype: object = "FP64", data: object = (1.0, 2.0), **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}], **more}


GOOD = {
    "mlflow": {"inputs": [[1.0, 2.0]]},
    "simple": {"data": [[1.0, 2.0]]},
    "v2": infer(),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("signature", [NUMBERS, MATRIX], ids=["columns", "tensor"])
def test_a_good_body_passes(codec: str, signature: Signature) -> None:
    inputs = decode(codec, GOOD[codec], signature).inputs
    assert inputs.rows == 1
    assert np.concatenate([np.ravel(array) for array in inputs.arrays.values()]).tolist() == [1.0, 2.0]


UNREADABLE = {
    "empty": b"",
    "blank": b"  ",
    "invalid UTF-8": b'{"data": "\xff"}',
    "deep nesting": b"[" * 100_000,
    "closed deep nesting": b'{"data":' + b"[" * 2000 + b"]" * 2000 + b"}",
    "NaN": b'{"data": [[NaN, 1]]}',
    "Infinity": b'{"data": [[Infinity, 1]]}',
    "a number beyond doubles": b'{"data": [[1e999, 1]]}',
    "trailing garbage": b'{"data": [[1, 2]]} x',
    "truncated": b'{"data": [[1, 2',
    "duplicate keys": b'{"data": [[1, 2]], "data": [[1, 2]]}',
    "duplicate keys written differently": b'{"data": [[1, 2]], "d\\u0061ta": [[1, 2]]}',
    "duplicate keys deep inside": b'{"data": [[1, 2]], "metadata": {"a": {"b": 1, "b": 2}}}',
    "duplicate keys in a list": b'{"data": [[1, 2]], "metadata": {"a": [1, {"b": 1, "b": 2}]}}',
    "duplicate keys beside a colon in text": b'{"data": [["a:b", 2]], "metadata": {"a": 1, "a": 2}}',
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_body_is_malformed(codec: str, body: bytes) -> None:
    with pytest.raises(MalformedBody):
        decode(codec, body, NUMBERS)


def test_colons_in_text_are_no_keys() -> None:
    body = {"data": [[1.0, 2.0]], "metadata": {"at": "12:30:00", "list": [1, {"url": "http://x:1/"}]}}
    assert decode("simple", body, NUMBERS).inputs.rows == 1


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b'"x"', b"{}", b'[{"data": 1}]'])
def test_a_body_that_is_no_request_is_refused(codec: str, body: bytes) -> None:
    with pytest.raises((InvalidRequest, SchemaMismatch)):
        decode(codec, body, NUMBERS)


@pytest.mark.parametrize("codec", CODECS)
def test_an_unknown_key_is_refused(codec: str) -> None:
    with pytest.raises(InvalidRequest):
        decode(codec, {**GOOD[codec], "role": "admin"}, NUMBERS)


@pytest.mark.parametrize("content_type", ["text/plain", "application/json; charset=latin-1", "application/xml", "text/csv2"])
@pytest.mark.parametrize("codec", CODECS)
def test_another_content_type_is_unsupported(codec: str, content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        decode(codec, GOOD[codec], NUMBERS, content_type)


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
@pytest.mark.parametrize("codec", CODECS)
def test_json_in_utf8_is_supported(codec: str, content_type: str) -> None:
    assert decode(codec, GOOD[codec], NUMBERS, content_type).inputs.rows == 1


def test_only_v2_takes_a_missing_content_type_as_json() -> None:
    assert decode("v2", GOOD["v2"], NUMBERS, "").inputs.rows == 1
    for codec in ("mlflow", "simple"):
        with pytest.raises(UnsupportedMediaType):
            decode(codec, GOOD[codec], NUMBERS, "")


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


@pytest.mark.parametrize("body", [{}, {"params": {}}, {"inputs": [[1.0, 2.0]], "instances": [[1.0, 2.0]]}])
def test_not_exactly_one_format_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest):
        decode("mlflow", body, NUMBERS)


WRONG_MATRICES: dict[str, object] = {
    "ragged rows": [[1.0, 2.0], [1.0]],
    "a scalar beside a row": [[1.0, 2.0], 1.0],
    "a row too wide": [[1.0, 2.0, 3.0]],
    "one dimension": [1.0, 2.0, 3.0],
    "three dimensions": [[[1.0, 2.0]]],
    "empty": [],
    "an empty row": [[]],
    "a string": [["1", 2.0]],
    "a boolean": [[True, 2.0]],
    "an object": [[{}, 2.0]],
    "a list where a number stood": [[1.0, [2.0]]],
    "a scalar": 1.0,
    "null": None,
    "65 dimensions": json.loads("[" * 65 + "1" + "]" * 65),
}


@pytest.mark.parametrize("data", WRONG_MATRICES.values(), ids=WRONG_MATRICES)
@pytest.mark.parametrize("signature", [NUMBERS, MATRIX], ids=["columns", "tensor"])
@pytest.mark.parametrize("codec", ["mlflow", "simple"])
def test_a_wrong_matrix_is_refused(codec: str, signature: Signature, data: object) -> None:
    with pytest.raises(SchemaMismatch):
        decode(codec, {"inputs" if codec == "mlflow" else "data": data}, signature)


WRONG_TENSORS: dict[str, dict[str, Any]] = {
    "a negative dimension": infer(shape=[-1, 2]),
    "a zero dimension": infer(shape=[0, 2], data=[]),
    "a boolean dimension": infer(shape=[True, 2]),
    "a fractional dimension": infer(shape=[1.0, 2]),
    "65 dimensions": infer(shape=[1] * 64 + [2]),
    "no shape": infer(shape=None),
    "a product unlike the data's length": infer(shape=[2, 2]),
    "nesting unlike the shape": infer(shape=[2, 1], data=[[1.0, 2.0]]),
    "ragged data": infer(shape=[2, 2], data=[[1.0, 2.0], [1.0]]),
    "an unknown datatype": infer(datatype="FP128"),
    "a datatype in small letters": infer(datatype="fp64"),
    "no datatype": infer(datatype=None),
    "a string among numbers": infer(data=[1.0, "2"]),
    "a float as INT64": infer(datatype="INT64"),
    "strings for numbers": infer(datatype="BYTES", data=["1", "2"]),
    "booleans for numbers": infer(datatype="BOOL", data=[True, False]),
    "a number beyond its datatype": infer(datatype="UINT8", data=[1, 256]),
    "a scalar as data": infer(data=1.0),
}


@pytest.mark.parametrize("body", WRONG_TENSORS.values(), ids=WRONG_TENSORS)
@pytest.mark.parametrize("signature", [NUMBERS, MATRIX], ids=["columns", "tensor"])
def test_a_wrong_tensor_is_refused(signature: Signature, body: dict[str, Any]) -> None:
    with pytest.raises(SchemaMismatch):
        decode("v2", body, signature)


@pytest.mark.parametrize("shape", [[-1, 2], [0], [True, 2], [1.0, 2], [2, 2], [1] * 65, "2", {}, [3, 1]])
def test_a_wrong_shape_of_the_simple_api_is_refused(shape: object) -> None:
    with pytest.raises(SchemaMismatch):
        decode("simple", {"data": [1.0, 2.0], "shape": shape}, MATRIX)


WRONG_V2: dict[str, dict[str, Any]] = {
    "no inputs": {"inputs": []},
    "inputs that are no list": {"inputs": {}},
    "an input that is no object": {"inputs": [1]},
    "an input without a name": {"inputs": [{"shape": [1], "datatype": "FP64", "data": [1.0]}]},
    "an input twice": {"inputs": infer()["inputs"] * 2},
    "an unknown key in an input": {"inputs": [{**infer()["inputs"][0], "role": "admin"}]},
    "an id that is no string": infer(id=5),
    "parameters that are no object": infer(parameters=[]),
    "an output without a name": infer(outputs=[{}]),
    "an unknown key in an output": infer(outputs=[{"name": "y", "role": 1}]),
    "classification": infer(outputs=[{"name": "y", "parameters": {"classification": 2}}]),
    "shared memory": infer(outputs=[{"name": "y", "parameters": {"shared_memory_region": "x"}}]),
    "a flag that is no boolean": infer(parameters={"binary_data_output": 1}),
    "data and binary data": {"inputs": [{**infer()["inputs"][0], "parameters": {"binary_data_size": 16}}]},
    "binary data of a negative size": {
        "inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": -1}}]
    },
}


@pytest.mark.parametrize("body", WRONG_V2.values(), ids=WRONG_V2)
def test_a_wrong_inference_request_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        decode("v2", body, MATRIX)


@pytest.mark.parametrize("length", ["-1", "+5", "5.0", "999999", "", " 5", "x", "\u0665", "9" * 40])
def test_a_wrong_header_length_is_refused(length: str) -> None:
    with pytest.raises(MalformedHeader):
        decode("v2", GOOD["v2"], MATRIX, inference_header_content_length=length)


def binary_body(size: int, raw: bytes, datatype: str = "FP64", shape: tuple[int, ...] = (1, 2)) -> tuple[bytes, str]:
    part = {"name": "x", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [part]}).encode()
    return head + raw, str(len(head))


@pytest.mark.parametrize(
    ("size", "raw", "datatype"),
    [
        (16, b"\0" * 15, "FP64"),
        (16, b"\0" * 17, "FP64"),
        (8, b"\0" * 8, "FP64"),
        (10**12, b"\0" * 16, "FP64"),
        (8, b"\1\0\0\0a\1\0\0", "BYTES"),
        (10, b"\1\0\0\0a\xff\xff\xff\xffa", "BYTES"),
        (15, b"\1\0\0\0a\1\0\0\0b\1\0\0\0c", "BYTES"),
        (1, b"\1", "BOOL"),
    ],
)
def test_binary_data_that_does_not_add_up_is_refused(size: int, raw: bytes, datatype: str) -> None:
    body, length = binary_body(size, raw, datatype)
    with pytest.raises((SchemaMismatch, InvalidRequest)):
        decode("v2", body, MATRIX, inference_header_content_length=length)


TOO_MANY = [[1.0, 2.0]] * (MAX_ROWS + 1)


@pytest.mark.parametrize("signature", [NUMBERS, MATRIX, compile_signature(None, None, None)], ids=["columns", "tensor", "none"])
@pytest.mark.parametrize(
    ("codec", "body"),
    [
        ("mlflow", {"inputs": TOO_MANY}),
        ("mlflow", {"instances": TOO_MANY}),
        ("mlflow", {"dataframe_split": {"columns": ["age", "size"], "data": TOO_MANY}}),
        ("mlflow", {"dataframe_records": [{"age": 1.0, "size": 2.0}] * (MAX_ROWS + 1)}),
        ("simple", {"data": TOO_MANY}),
        ("simple", {"data": [1.0] * (2 * MAX_ROWS + 2), "shape": [MAX_ROWS + 1, 2]}),
        ("v2", infer(shape=[MAX_ROWS + 1, 2], data=TOO_MANY)),
    ],
)
def test_more_rows_than_allowed_are_too_many(codec: str, body: object, signature: Signature) -> None:
    with pytest.raises(BodyTooLarge) as caught:
        decode(codec, body, signature)
    assert caught.value.unit == "rows"


@pytest.mark.parametrize("data", [[], {}, None, [[]], [{}]])
def test_the_simple_api_refuses_empty_data(data: object) -> None:
    with pytest.raises(SchemaMismatch):
        decode("simple", {"data": data}, NUMBERS)


def test_metadata_nested_beyond_what_can_be_written_is_refused() -> None:
    deep = json.loads('{"a":' * 400 + "1" + "}" * 400)
    with pytest.raises(InvalidRequest):
        decode("simple", {"data": [[1.0, 2.0]], "metadata": deep}, NUMBERS)


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


def test_a_very_long_unknown_name_is_refused_without_searching() -> None:
    started = time.perf_counter()
    with pytest.raises(SchemaMismatch):
        decode("mlflow", {"inputs": {"age" * 1_000_000: [1.0]}}, NUMBERS)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("signature", [tensor("str", -1), compile_signature(None, None, None)], ids=["tensor", "none"])
def test_one_long_string_among_many_does_not_multiply(signature: Signature) -> None:
    body = {"inputs": ["x"] * 9 + ["y" * 3_000_000]}
    array = decode("mlflow", body, signature).inputs.arrays[""]
    assert array.dtype == object
    assert array.nbytes < 1_000


def test_one_long_string_in_every_row_of_a_parquet_file_is_kept_once() -> None:
    text = "y" * 1_000_000
    buffer = io.BytesIO()
    pd.DataFrame({"name": [text] * MAX_ROWS}).to_parquet(buffer)
    column = decode("mlflow", buffer.getvalue(), columns(name="string"), "application/x-parquet").inputs.arrays["name"]
    assert column.tolist() == [text] * MAX_ROWS
    assert len(set(map(id, column))) == 1


def test_a_csv_of_too_many_columns_is_malformed() -> None:
    with pytest.raises(MalformedBody):
        decode("mlflow", b"," * 60_000 + b"\n", NUMBERS, "text/csv")


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


def test_no_refusal_is_an_accident() -> None:
    """Every class that the tables above expect is a leaf of the tree, so that the gateway has a row for it."""
    for error in (BodyTooLarge, InvalidRequest, MalformedBody, MalformedHeader, SchemaMismatch, UnsupportedMediaType):
        assert issubclass(error, StagedoorError)
