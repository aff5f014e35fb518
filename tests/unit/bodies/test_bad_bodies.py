"""The section "Body" of the list of bad inputs, against the codecs: what is refused whatever the model is."""

import json

import numpy as np
import pytest

from serving.codecs import CODECS
from serving.schema import Signature, compile_signature
from stagedoor.errors import BodyTooLarge, InvalidRequest, MalformedBody, MalformedHeader, SchemaMismatch, UnsupportedMediaType
from stagedoor.problems import PROBLEMS

from .decoding import GOOD, MATRIX, MAX_ROWS, NUMBERS, decode, infer


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


@pytest.mark.parametrize("body", [{}, {"params": {}}, {"inputs": [[1.0, 2.0]], "instances": [[1.0, 2.0]]}])
def test_not_exactly_one_format_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest):
        decode("mlflow", body, NUMBERS)


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


def test_no_refusal_is_an_accident() -> None:
    """The gateway has a row of its own for every class that the tables of this folder expect."""
    for error in (BodyTooLarge, InvalidRequest, MalformedBody, MalformedHeader, SchemaMismatch, UnsupportedMediaType):
        assert error in PROBLEMS
