"""The section "Tensors" of the list of bad inputs, against the codecs."""

import json
from typing import Any

import pytest

from serving.schema import Signature, compile_signature
from stagedoor.errors import InvalidRequest, MalformedHeader, SchemaMismatch

from .decoding import GOOD, MATRIX, NUMBERS, decode, infer, tensor

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


@pytest.mark.parametrize("signature", [tensor("str", -1), compile_signature(None, None, None)], ids=["tensor", "none"])
def test_one_long_string_among_many_does_not_multiply(signature: Signature) -> None:
    body = {"inputs": ["x"] * 9 + ["y" * 3_000_000]}
    array = decode("mlflow", body, signature).inputs.arrays[""]
    assert array.dtype == object
    assert array.nbytes < 1_000
