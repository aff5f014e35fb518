"""What the codecs read and write when all is well: bytes on the wire, names, confidence."""

import json
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from serving.codecs import CODECS, Answer, Encoded, Wire
from serving.codecs.render import dump, jsonable
from serving.codecs.simple import split_confidence
from serving.schema import Signature, compile_signature
from serving.values import OIP_TO_NUMPY, UNNAMED, Array, Block, Inputs, Outputs, TensorSpec
from stagedoor.errors import InvalidOutput, InvalidRequest, LoadFailed, SchemaMismatch

ANSWER = Answer("fraud", "7", "r-1", time.perf_counter() - 1.0)
NUMBERS = compile_signature([{"type": "double", "name": name, "required": True} for name in ("age", "size")], None, None)
FREE = compile_signature(None, None, None)


def tensor(dtype: str, *shape: int, name: str | None = None) -> Signature:
    spec: dict[str, Any] = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}
    return compile_signature([{**spec, "name": name} if name else spec], None, None)


def read(codec: str, body: object, signature: Signature, raw: bytes = b"", content_type: str = "application/json") -> Inputs:
    head = json.dumps(body).encode()
    headers = {"inference-header-content-length": str(len(head))} if raw else {}
    return CODECS[codec].decode(Wire(head + raw, content_type, headers), signature, 100).inputs


def write(codec: str, outputs: Outputs, body: object, signature: Signature = FREE) -> Encoded:
    decoded = CODECS[codec].decode(Wire(json.dumps(body).encode(), "application/json", {}), signature, 100)
    return CODECS[codec].encode(outputs, decoded, signature, ANSWER)


def infer(**more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}], **more}


# --- reading ----------------------------------------------------------------------------------------------------------


def test_columns_of_one_type_arrive_as_one_matrix() -> None:
    inputs = read("mlflow", {"dataframe_split": {"columns": ["size", "age"], "data": [[1, 2], [3, None]]}}, NUMBERS)
    assert isinstance(inputs.arrays, Block)
    assert list(inputs.arrays) == ["age", "size"]
    np.testing.assert_array_equal(inputs.arrays.matrix, [[2, 1], [np.nan, 3]])


@pytest.mark.parametrize("datatype", [*OIP_TO_NUMPY])
def test_binary_tensors_arrive_to_the_last_bit(datatype: str) -> None:
    dtype = OIP_TO_NUMPY[datatype]
    array = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    part = {"name": "x", "shape": [2, 3], "datatype": datatype, "parameters": {"binary_data_size": array.nbytes}}
    inputs = read("v2", {"inputs": [part]}, tensor(dtype.name, -1, 3), array.tobytes())
    result = inputs.arrays[UNNAMED]
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, array)


def test_bf16_tensors_are_widened_without_loss() -> None:
    array = np.array([1.5, -2.0, 0.0078125], np.float32)
    raw = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
    part = {"name": "x", "shape": [3], "datatype": "BF16", "parameters": {"binary_data_size": len(raw)}}
    np.testing.assert_array_equal(read("v2", {"inputs": [part]}, tensor("float32", -1), raw).arrays[UNNAMED], array)


def test_binary_strings_and_numbers_in_one_request_are_told_apart() -> None:
    signature = compile_signature(
        [{"type": "string", "name": "s", "required": True}, {"type": "long", "name": "n", "required": True}], None, None
    )
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"a", "é".encode(), b""))
    numbers = np.array([1, 2, 3], np.int64).tobytes()
    parts = [
        {"name": "s", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}},
        {"name": "n", "shape": [3, 1], "datatype": "INT64", "parameters": {"binary_data_size": len(numbers)}},
    ]
    inputs = read("v2", {"inputs": parts}, signature, texts + numbers)
    assert {name: array.tolist() for name, array in inputs.arrays.items()} == {"s": ["a", "é", ""], "n": [1, 2, 3]}


def test_nested_and_flat_data_of_a_tensor_are_the_same() -> None:
    parts = [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": data} for data in ([1, 2, 3, 4], [[1, 2], [3, 4]])]
    flat, nested = (read("v2", {"inputs": [part]}, tensor("float64", -1, 2)).arrays[UNNAMED] for part in parts)
    np.testing.assert_array_equal(flat, nested)
    assert flat.dtype == np.float64


def test_v2_parameters_that_the_signature_names_reach_the_model() -> None:
    signature = compile_signature(None, None, [{"name": "power", "type": "double", "default": 2.0, "shape": None}])
    inputs = read("v2", infer(parameters={"power": 3, "binary_data_output": False}), signature)
    assert inputs.params == {"power": 3.0}


SIMPLE: dict[str, tuple[Signature, object, list[Any]]] = {
    "a flat list is one row of columns": (NUMBERS, [1, 2], [1.0, 2.0]),
    "rows": (NUMBERS, [[1, 2], [3, 4]], [1.0, 2.0, 3.0, 4.0]),
    "one object": (NUMBERS, {"size": 2, "age": 1}, [1.0, 2.0]),
    "columns by name": (NUMBERS, {"size": [2, 4], "age": [1, 3]}, [1.0, 2.0, 3.0, 4.0]),
    "objects": (NUMBERS, [{"size": 2, "age": 1}, {"age": 3, "size": 4}], [1.0, 2.0, 3.0, 4.0]),
    "a flat list is one row of a tensor": (tensor("float32", -1, 2), [1, 2], [1.0, 2.0]),
    "a flat list is one image": (tensor("int64", -1, 2, 2), [1, 2, 3, 4], [1, 2, 3, 4]),
    "a flat list is the rows of one dimension": (tensor("int64", -1), [1, 2, 3], [1, 2, 3]),
}


@pytest.mark.parametrize(("signature", "data", "expected"), SIMPLE.values(), ids=SIMPLE)
def test_the_simple_api_takes_data_in_many_shapes(signature: Signature, data: object, expected: list[Any]) -> None:
    inputs = read("simple", {"data": data}, signature)
    array = inputs.arrays.matrix if isinstance(inputs.arrays, Block) else next(iter(inputs.arrays.values()))
    assert array.ravel().tolist() == expected
    assert inputs.rows == len(expected) // int(np.prod(array.shape[1:], dtype=int))


def test_native_inputs_check_a_model_without_a_signature() -> None:
    signature = compile_signature(None, None, None, (TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1,)),))
    assert read("mlflow", {"inputs": [[1, 2]]}, signature).arrays["x"].dtype == np.float32
    assert [spec.name for spec in signature.outputs] == ["y"]
    with pytest.raises(SchemaMismatch):
        read("mlflow", {"inputs": [[1, 2, 3]]}, signature)


@pytest.mark.parametrize(
    "inputs",
    [
        [{"type": "quaternion", "name": "x"}],
        [{"name": "x"}],
        [{"type": "tensor", "tensor-spec": {"dtype": "nonsense", "shape": [-1]}}],
        [{"type": "tensor"}],
        [{"type": "array", "name": "x", "items": {"type": "nonsense"}}],
        ["x"],
    ],
)
def test_a_signature_that_mlflow_could_not_have_written_fails_to_load(inputs: Any) -> None:
    with pytest.raises(LoadFailed):
        compile_signature(inputs, None, None)


# --- writing ----------------------------------------------------------------------------------------------------------

F32 = np.array([[0.1, 0.2]], np.float32)
MLFLOW: dict[str, tuple[Outputs, object]] = {
    "an array": (Outputs.of_array(np.array([1, 0])), [1, 0]),
    "float32 as the doubles they are": (Outputs.of_array(F32), F32.tolist()),
    "a transposed array": (Outputs.of_array(np.array([[1, 2], [3, 4]]).T), [[1, 3], [2, 4]]),
    "strings": (Outputs.of_array(np.array(["a", "b"])), ["a", "b"]),
    "strings in two dimensions": (Outputs.of_array(np.array([["a"], ["b"]])), [["a"], ["b"]]),
    "a scalar": (Outputs.of_array(np.array(5)), 5),
    "named arrays": (Outputs("named", {"y": np.array([True]), "p": F32}), {"y": [True], "p": F32.tolist()}),
    "a table": (
        Outputs("table", {"y": np.array(["a", "b"], object), "p": np.array([1.5, 2.5])}),
        [{"y": "a", "p": 1.5}, {"y": "b", "p": 2.5}],
    ),
    "bytes": (Outputs.of_array(np.array([b"ab"], object)), ["YWI=\n"]),
    "times": (Outputs("table", {"t": np.array(["2026-01-31T09:30"], "datetime64[ns]")}), [{"t": "2026-01-31T09:30:00"}]),
    "JSON": (Outputs("json", value={"a": [1, None, {"b": np.float32(0.5)}]}), {"a": [1, None, {"b": 0.5}]}),
}


@pytest.mark.parametrize(("outputs", "expected"), MLFLOW.values(), ids=MLFLOW)
def test_mlflow_predictions_are_nested_as_by_its_scoring_server(outputs: Outputs, expected: object) -> None:
    encoded = write("mlflow", outputs, {"inputs": [1.0]})
    assert encoded.content_type == "application/json"
    assert json.loads(encoded.body) == {"predictions": expected}


@pytest.mark.parametrize("outputs", [outputs for outputs, _ in MLFLOW.values()], ids=MLFLOW)
@pytest.mark.parametrize("codec", ["v2", "simple"])
def test_the_other_protocols_can_write_it_too(codec: str, outputs: Outputs) -> None:
    body = infer() if codec == "v2" else {"data": [1.0]}
    assert json.loads(write(codec, outputs, body).body)


@pytest.mark.parametrize("value", [np.array([1 + 2j]), np.array([object()], object), np.array([2**70], object)])
def test_what_json_cannot_say_is_the_models_fault(value: Array) -> None:
    with pytest.raises(InvalidOutput):
        write("mlflow", Outputs.of_array(value), {"inputs": [1.0]})


def test_a_v2_answer_has_all_that_the_protocol_asks_for() -> None:
    encoded = write("v2", Outputs.of_array(F32), infer(id="mine"))
    assert json.loads(encoded.body) == {
        "model_name": "fraud",
        "model_version": "7",
        "id": "mine",
        "outputs": [{"name": "output-1", "datatype": "FP32", "shape": [1, 2], "data": F32.ravel().tolist()}],
    }


def test_an_unnamed_output_takes_the_signatures_name() -> None:
    signature = compile_signature(None, [{"type": "long", "name": "species", "required": True}], None)
    assert json.loads(write("v2", Outputs.of_array(np.array([1])), infer(), signature).body)["outputs"][0]["name"] == "species"


def binary_parts(encoded: Encoded) -> Mapping[str, bytes]:
    size = int(dict(encoded.headers)["Inference-Header-Content-Length"])
    raw, parts = encoded.body[size:], {}
    for output in json.loads(encoded.body[:size])["outputs"]:
        length = output.get("parameters", {}).get("binary_data_size", 0)
        parts[output["name"]], raw = raw[:length], raw[length:]
    assert raw == b""
    return parts


NAMED = Outputs(
    "named", {"label": np.array(["a", "é"], object), "p": np.array([[0.25], [0.5]], np.float32), "n": np.array([1, 2])}
)


def test_outputs_go_in_binary_where_the_caller_asks() -> None:
    encoded = write("v2", NAMED, infer(parameters={"binary_data_output": True}))
    assert encoded.content_type == "application/octet-stream"
    assert binary_parts(encoded) == {
        "label": b"\1\0\0\0a\2\0\0\0\xc3\xa9",
        "p": np.array([0.25, 0.5], "<f4").tobytes(),
        "n": np.array([1, 2], "<i8").tobytes(),
    }


def test_only_the_requested_outputs_come_in_the_form_requested() -> None:
    wanted = [{"name": "n"}, {"name": "p", "parameters": {"binary_data": True}}]
    encoded = write("v2", NAMED, infer(outputs=wanted))
    assert binary_parts(encoded) == {"n": b"", "p": np.array([0.25, 0.5], "<f4").tobytes()}


def test_an_unknown_output_is_the_callers_fault() -> None:
    with pytest.raises(InvalidRequest, match="label, p, n"):
        write("v2", NAMED, infer(outputs=[{"name": "q"}]))


def test_the_simple_answer_has_its_five_parts() -> None:
    answer = json.loads(write("simple", NAMED, {"data": [1.0], "metadata": {"k": [1, "v"]}}).body)
    assert list(answer) == ["request_id", "predictions", "confidence", "metadata", "processing_time_ms"]
    assert answer["request_id"] == "r-1"
    assert answer["metadata"] == {"k": [1, "v"]}
    assert answer["processing_time_ms"] >= 1000, "since the request came"
    assert answer["processing_time_ms"] == round(answer["processing_time_ms"], 3)


P2 = np.array([[0.25, 0.75], [0.9, 0.1]], np.float32)
LABELS = np.array([1, 0])
CONFIDENCE: dict[str, tuple[Outputs, list[str], list[float] | None]] = {
    "label and probabilities": (Outputs("named", {"label": LABELS, "probabilities": P2}), ["label"], [0.75, 0.9]),
    "the case of the name": (Outputs("named", {"y": LABELS, "Predict_Proba": P2}), ["y"], [0.75, 0.9]),
    "one probability for each row": (
        Outputs("table", {"y": LABELS, "confidence": np.array([0.5, 0.75])}),
        ["y"],
        [0.5, 0.75],
    ),
    "probabilities alone": (Outputs("named", {"probabilities": P2}), ["probabilities"], [0.75, 0.9]),
    "no such name": (Outputs("named", {"label": LABELS, "scores": P2}), ["label", "scores"], None),
    "two such names": (Outputs("named", {"proba": P2, "probabilities": P2}), ["proba", "probabilities"], None),
    "numbers that are no probabilities": (Outputs("named", {"y": LABELS, "confidence": P2 * 9}), ["y", "confidence"], None),
    "an array": (Outputs.of_array(P2), [UNNAMED], None),
}


@pytest.mark.parametrize(("outputs", "left", "expected"), CONFIDENCE.values(), ids=CONFIDENCE)
def test_confidence_is_the_largest_probability_of_each_row(
    outputs: Outputs, left: list[str], expected: list[float] | None
) -> None:
    rest, confidence = split_confidence(outputs)
    assert list(rest.arrays) == left
    assert (None if confidence is None else confidence.tolist()) == (None if expected is None else pytest.approx(expected))


BROKEN: dict[str, Callable[[], Outputs]] = {
    "NaN": lambda: Outputs.of_array(np.array([1.0, np.nan])),
    "infinity": lambda: Outputs.of_array(np.array([np.inf], np.float32)),
    "NaN in half precision": lambda: Outputs.of_array(np.array([np.nan], np.float16)),
    "NaN in one of several": lambda: Outputs("named", {"a": np.array([1]), "b": np.array([[np.nan]])}),
    "NaN in JSON": lambda: Outputs("json", value={"a": [{"b": float("nan")}]}),
    "nothing": lambda: Outputs("named", {}),
    "no rows": lambda: Outputs.of_array(np.array([])),
}


@pytest.mark.parametrize("outputs", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_cannot_be_one_is_invalid(outputs: Callable[[], Outputs]) -> None:
    with pytest.raises(InvalidOutput):
        FREE.check_outputs(outputs(), 1)


@pytest.mark.parametrize("array", [np.array([1e200, -1e200]), np.array([3e38], np.float32), np.array([65504], np.float16)])
def test_large_finite_numbers_are_valid(array: Array) -> None:
    FREE.check_outputs(Outputs.of_array(array), 1)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "int8", "int64", "uint64", "bool"])
@pytest.mark.parametrize("shape", [(1,), (3,), (2, 2), (1, 1, 1)])
def test_few_numbers_are_written_as_they_are_among_many(dtype: str, shape: tuple[int, ...]) -> None:
    few = np.resize(np.array([0.1, 1, 1e-7, 65_000]).astype(dtype), shape)
    many = np.broadcast_to(few, (100, *shape))
    assert dump({"few": [jsonable(few)] * 100}) == dump({"few": jsonable(many)})
