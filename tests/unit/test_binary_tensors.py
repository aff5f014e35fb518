"""Binary tensors of the Open Inference Protocol: to the last bit, and without a copy wherever numpy can read them in place."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper

from serving.codecs import CODECS, Answer, Wire
from serving.codecs.tensor_bytes import from_bytes, to_bytes
from serving.loading.loaders import LoadOptions
from serving.loading.loaders.onnx import load_onnx
from serving.loading.loaders.pyfunc import PyfuncPredictor, writable
from serving.loading.mlmodel import MLModel
from serving.schema import compile_signature
from serving.values import OIP_TO_NUMPY, UNNAMED, Array, Block, Inputs, Outputs
from stagedoor.errors import Rejected, SchemaMismatch

FREE = compile_signature(None, None, None)
ANSWER = Answer("fraud", "7", "r-1", 1.0)
NUMERIC = {datatype: dtype for datatype, dtype in OIP_TO_NUMPY.items() if datatype != "BOOL"}


def request(parts: list[tuple[str, list[int], bytes]], *, pad: int = 16) -> Wire:
    """A request of binary tensors whose JSON part is padded with blanks to a multiple of `pad` bytes."""
    inputs = [
        {"name": f"x{place}", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
        for place, (datatype, shape, raw) in enumerate(parts)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    head += b" " * (-len(head) % pad)
    headers = {"inference-header-content-length": str(len(head))}
    return Wire(b"".join((head, *(raw for _, _, raw in parts))), "application/octet-stream", headers)


def read(wire: Wire) -> list[Array]:
    return list(CODECS["v2"].decode(wire, FREE, 10_000).inputs.arrays.values())


def lies_in(array: Array, body: bytes) -> bool:
    return np.shares_memory(array, np.frombuffer(body, np.uint8))


# --- in ---


@pytest.mark.parametrize("datatype", OIP_TO_NUMPY)
def test_tensors_are_views_of_the_body_that_nobody_can_write_to(datatype: str) -> None:
    sent = np.arange(12).reshape(3, 4).astype(OIP_TO_NUMPY[datatype])
    wire = request([(datatype, [3, 4], sent.tobytes()), (datatype, [4, 3], sent.tobytes())])
    for array, shape in zip(read(wire), ((3, 4), (4, 3)), strict=True):
        assert lies_in(array, wire.body)
        assert not array.flags.writeable
        assert array.dtype == sent.dtype
        np.testing.assert_array_equal(array, sent.reshape(shape))


@pytest.mark.parametrize("datatype", [name for name, dtype in NUMERIC.items() if dtype.itemsize > 1])
def test_numbers_that_lie_across_their_natural_places_are_copied_once(datatype: str) -> None:
    sent = np.arange(8).astype(OIP_TO_NUMPY[datatype])
    raw = memoryview(b"\0" + sent.tobytes())[1:]
    array = from_bytes(raw, datatype, 8, "inputs")
    assert array.flags.aligned
    assert not np.shares_memory(array, np.frombuffer(raw, np.uint8))
    np.testing.assert_array_equal(array, sent)


def test_a_tensor_signature_of_the_same_type_copies_nothing_either() -> None:
    spec: dict[str, Any] = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 64]}}
    wire = request([("FP32", [8, 64], np.ones((8, 64), np.float32).tobytes())])
    array = CODECS["v2"].decode(wire, compile_signature([spec], None, None), 100).inputs.arrays[UNNAMED]
    assert lies_in(array, wire.body)


def test_a_matrix_for_columns_of_one_type_copies_nothing_either() -> None:
    columns = [{"type": "double", "name": name, "required": True} for name in "abc"]
    wire = request([("FP64", [8, 3], np.ones((8, 3)).tobytes())])
    block = CODECS["v2"].decode(wire, compile_signature(columns, None, None), 100).inputs.arrays
    assert isinstance(block, Block)
    assert lies_in(block.matrix, wire.body)


def test_booleans_that_are_not_0_or_1_become_true() -> None:
    array = from_bytes(memoryview(b"\0\1\2\xff"), "BOOL", 4, "inputs")
    assert array.view(np.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("datatype", [*OIP_TO_NUMPY, "BF16", "BYTES"])
def test_a_tensor_without_elements_is_read_as_one(datatype: str) -> None:
    assert from_bytes(memoryview(b""), datatype, 0, "inputs").shape == (0,)


WRONG: dict[str, tuple[str, list[int], bytes]] = {
    "a byte too few": ("FP32", [2], bytes(7)),
    "a byte too many": ("FP32", [2], bytes(9)),
    "another type's size": ("FP64", [2], bytes(8)),
    "a boolean too many": ("BOOL", [2], bytes(3)),
    "half a BF16": ("BF16", [2], bytes(3)),
    "a string without its length": ("BYTES", [1], b"\1\0\0"),
    "a string cut short": ("BYTES", [1], struct.pack("<I", 5) + b"four"),
    "a string of 4 GiB": ("BYTES", [1], struct.pack("<I", 2**32 - 1) + b"x"),
    "a string too many": ("BYTES", [1], struct.pack("<I", 0) * 2),
    "no bytes at all": ("FP32", [2], b""),
}


@pytest.mark.parametrize("part", WRONG.values(), ids=WRONG)
def test_bytes_that_do_not_add_up_are_refused(part: tuple[str, list[int], bytes]) -> None:
    with pytest.raises(SchemaMismatch):
        read(request([part]))


@pytest.mark.parametrize("cut", [1, 8, 9, 16])
def test_a_body_that_ends_too_early_or_too_late_is_refused(cut: int) -> None:
    wire = request([("FP64", [1], bytes(8)), ("FP64", [1], bytes(8))])
    for body in (wire.body[:-cut], wire.body + bytes(cut)):
        with pytest.raises(Rejected):
            read(wire._replace(body=body))


# --- out, and both ways ---


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Array]:
    datatype = draw(st.sampled_from([*OIP_TO_NUMPY]))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    return datatype, draw(hnp.arrays(OIP_TO_NUMPY[datatype], shape))


@given(st.lists(tensors(), min_size=2, max_size=4, unique_by=id), st.integers(1, 16))
def test_what_comes_in_goes_out_to_the_last_bit_wherever_it_lies(sent: list[tuple[str, Array]], pad: int) -> None:
    wire = request([(datatype, list(array.shape), array.tobytes()) for datatype, array in sent], pad=pad)
    decoded = CODECS["v2"].decode(wire, FREE, 10_000)
    found = list(decoded.inputs.arrays.values())
    assert [array.tobytes() for array in found] == [array.tobytes() for _, array in sent]
    assert [array.dtype for array in found] == [array.dtype for _, array in sent]
    encoded = CODECS["v2"].encode(Outputs("named", decoded.inputs.arrays), decoded, FREE, ANSWER)
    size = int(dict(encoded.headers)["Inference-Header-Content-Length"])
    assert encoded.body[size:] == b"".join(array.tobytes() for _, array in sent)
    told = json.loads(encoded.body[:size])["outputs"]
    assert [part["parameters"]["binary_data_size"] for part in told] == [array.nbytes for _, array in sent]


def test_outputs_are_joined_from_views_of_the_models_arrays() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    view = to_bytes(array)
    assert isinstance(view, memoryview)
    assert np.shares_memory(np.frombuffer(view, np.uint8), array)
    assert bytes(view) == array.tobytes()
    assert bytes(to_bytes(array.T)) == array.T.tobytes()
    assert bytes(to_bytes(array.astype(">f4"))) == array.tobytes()
    assert bytes(to_bytes(np.float32(1.5).reshape(()))) == np.float32(1.5).tobytes()


# --- what models do with them ---


def test_onnx_runtime_reads_the_body_in_place(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "x"], ["y"])],
        "square",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    predictor = load_onnx(MLModel(tmp_path, {"onnx": {"data": "model.onnx"}}), LoadOptions())
    wire = request([("FP32", [2, 4], np.arange(8, dtype=np.float32).tobytes())])
    before = bytes(bytearray(wire.body))  # a copy
    inputs = CODECS["v2"].decode(wire, FREE, 100).inputs
    assert lies_in(inputs.arrays[UNNAMED], wire.body)
    assert predictor.predict(inputs).arrays["y"].tolist() == [[0, 1, 4, 9], [16, 25, 36, 49]]
    assert wire.body == before


def in_place(data: Any, _params: object) -> Any:
    for part in data.values() if isinstance(data, dict) else [data]:
        part[:] = 1
    return data


@pytest.mark.parametrize("count", [1, 2])
def test_a_models_own_code_may_write_to_what_it_gets(count: int) -> None:
    wire = request([("FP64", [2], np.zeros(2).tobytes())] * count)
    before = bytes(bytearray(wire.body))
    outputs = PyfuncPredictor(in_place, typed=False).predict(CODECS["v2"].decode(wire, FREE, 100).inputs)
    assert [array.tolist() for array in outputs.arrays.values()] == [[1, 1]] * count
    assert wire.body == before


def test_a_frame_may_be_written_to_as_well() -> None:
    columns = [{"type": "double", "name": name, "required": True} for name in "ab"]
    wire = request([("FP64", [2, 2], np.zeros((2, 2)).tobytes())])
    inputs = CODECS["v2"].decode(wire, compile_signature(columns, None, None), 100).inputs

    def code(frame: Any, _params: object) -> Any:
        frame.loc[0, "a"] = 5.0
        frame.to_numpy(copy=False)
        return frame

    assert PyfuncPredictor(code, typed=False).predict(inputs).arrays["a"].tolist() == [5, 0]


def test_what_can_be_written_to_is_not_copied() -> None:
    block = Block(np.zeros((2, 2)), {"a": 0, "b": 1})
    for arrays in (block, {"x": np.zeros(2), "y": np.zeros(3)}):
        inputs = Inputs("table", arrays, 2)
        assert writable(inputs) is inputs
