"""ONNX files through ONNX Runtime: what is fed, what is answered, what is refused."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.cores import usable_cores
from serving.loading.loaders import LoadOptions
from serving.loading.loaders.onnx import OnnxPredictor, load_onnx
from serving.loading.mlmodel import read_mlmodel
from serving.values import UNNAMED, Block, Inputs, TensorSpec
from stagedoor.errors import ArtifactError, LoadFailed, MissingArtifact, UnsafeArtifact

Build = Callable[..., Path]
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.9, 3.0, 4.2, 1.5]])


def load(folder: Path, **options: Any) -> OnnxPredictor:
    return load_onnx(read_mlmodel(folder), LoadOptions(**options))


def tensor(values: Any) -> Inputs:
    array = np.asarray(values)
    return Inputs("tensors", {UNNAMED: array}, len(array))


def frame(values: Any, names: str = "abcd") -> Inputs:
    array = np.asarray(values)
    return Inputs("table", Block(array, {name: at for at, name in enumerate(names)}), len(array))


def pyfunc_answer(folder: Path, data: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        return mlflow.pyfunc.load_model(str(folder)).predict(data)


def test_a_tensor_is_answered_as_mlflow_answers_it(iris: Path) -> None:
    outputs = load(iris / "onnx").predict(tensor(ROWS))
    expected = pyfunc_answer(iris / "onnx", ROWS)
    assert outputs.kind == "named"
    assert list(outputs.arrays) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(outputs.arrays[name], array)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8])
def test_numbers_are_cast_to_the_graphs_type(build_onnx: Build, dtype: Any) -> None:
    outputs = load(build_onnx()).predict(tensor(np.array([[1, 2]], dtype)))
    np.testing.assert_array_equal(outputs.arrays["Y"], [[5.0]])


def test_text_for_numbers_is_the_runtimes_error(build_onnx: Build) -> None:
    with pytest.raises(Exception, match=r"(?i)invalid|type"):
        load(build_onnx()).predict(tensor(np.array([["a", "b"]], object)))


def test_a_frame_gets_label_and_probabilities_row_by_row(iris: Path) -> None:
    named = load(iris / "onnx").predict(tensor(ROWS)).arrays
    outputs = load(iris / "onnx").predict(frame(ROWS))
    assert outputs.kind == "table"
    assert outputs.arrays["label"].shape == (3,)
    assert outputs.arrays["probabilities"].shape == (3, 3)
    for name, array in named.items():
        np.testing.assert_array_equal(outputs.arrays[name], array)


def test_columns_of_several_types_become_one_matrix(iris: Path) -> None:
    whole = np.array([[5, 3.5, 1, 0.2], [6, 3.0, 5, 2.3]])
    columns = {name: whole[:, at] for at, name in enumerate("abcd")}
    columns["a"] = columns["a"].astype(np.int64)
    columns["c"] = columns["c"].astype(np.float32)
    predictor = load(iris / "onnx")
    outputs = predictor.predict(Inputs("table", columns, 2))
    np.testing.assert_array_equal(outputs.arrays["probabilities"], predictor.predict(tensor(whole)).arrays["probabilities"])


def test_a_single_output_column_equals_mlflows_frame(build_onnx: Build) -> None:
    import pandas as pd

    folder = build_onnx()
    write_pyfunc_flavor(folder)
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    expected = pyfunc_answer(folder, pd.DataFrame(values, columns=["a", "b"]))
    outputs = load(folder).predict(frame(values, "ab"))
    assert outputs.kind == "table"
    assert list(outputs.arrays) == list(expected.columns)
    np.testing.assert_array_equal(outputs.arrays["Y"], expected["Y"].to_numpy())


def write_pyfunc_flavor(folder: Path) -> None:
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(
        text.replace("flavors:\n", "flavors:\n  python_function:\n    data: model.onnx\n    loader_module: mlflow.onnx\n")
    )


@pytest.mark.parametrize("inputs", [tensor(ROWS), frame(ROWS)], ids=["tensor", "frame"])
def test_a_zipmaps_dicts_are_answered(iris: Path, inputs: Inputs) -> None:
    matrix = load(iris / "onnx").predict(tensor(ROWS)).arrays["probabilities"]
    cells = load(iris / "zipmap").predict(inputs).arrays["output_probability"]
    assert [list(cell) for cell in cells] == [["0", "1", "2"]] * 3
    np.testing.assert_allclose([list(cell.values()) for cell in cells], matrix, atol=1e-6)


def test_the_graph_says_what_it_takes_and_gives(iris: Path) -> None:
    predictor = load(iris / "onnx")
    assert predictor.inputs == (TensorSpec("X", "FP32", (-1, 4)),)
    assert predictor.outputs == (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 3)))


def test_external_data_in_the_folder_is_used(build_onnx: Build) -> None:
    folder = build_onnx(external="weights.bin")
    (folder / "weights.bin").write_bytes(np.array([[3.0], [4.0]], np.float32).tobytes())
    np.testing.assert_array_equal(load(folder).predict(tensor([[1.0, 1.0]])).arrays["Y"], [[7.0]])


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("../weights.bin", UnsafeArtifact),
        ("sub/../../weights.bin", UnsafeArtifact),
        ("/etc/passwd", UnsafeArtifact),
        ("weights.bin", MissingArtifact),
        ("*/_ORT_MEM_ADDR_/*", MissingArtifact),
        ("", MissingArtifact),
    ],
)
def test_external_data_elsewhere_is_refused(build_onnx: Build, location: str, error: type[ArtifactError]) -> None:
    folder = build_onnx(external=location)
    (folder.parent / "weights.bin").write_bytes(np.zeros(2, np.float32).tobytes())
    with pytest.raises(error):
        load(folder)


@pytest.mark.parametrize("content", [b"\xff" * 64, b"not a model", b"\x0b" * 10])
def test_a_file_that_is_no_onnx_is_refused(build_onnx: Build, content: bytes) -> None:
    folder = build_onnx()
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(LoadFailed, match="ONNX"):
        load(folder)


def test_the_models_own_session_options_are_honoured(build_onnx: Build) -> None:
    asked = {
        "intra_op_num_threads": 2,
        "inter_op_num_threads": 3,
        "execution_mode": "parallel",
        "graph_optimization_level": 1,
        "extra_session_config": {"session.intra_op.allow_spinning": "1"},
    }
    options = load(build_onnx(conf={"onnx_session_options": asked})).session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 3)
    assert options.execution_mode.name == "ORT_PARALLEL"
    assert options.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"


def test_without_its_own_options_the_operators_apply(build_onnx: Build) -> None:
    options = load(build_onnx(), onnx_threads=1).session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    "asked", [{"execution_mode": "sideways"}, {"graph_optimization_level": "all of it"}, {"extra_session_config": 5}, 7]
)
def test_impossible_session_options_are_refused(build_onnx: Build, asked: Any) -> None:
    with pytest.raises(LoadFailed, match="onnx_session_options"):
        load(build_onnx(conf={"onnx_session_options": asked}))


@pytest.mark.parametrize(
    "asked",
    [
        ["CUDAExecutionProvider", "CPUExecutionProvider"],
        [["CUDAExecutionProvider", {"device_id": 0}], "CPUExecutionProvider"],
        "CPUExecutionProvider",
        None,
    ],
)
def test_a_provider_the_build_lacks_gives_way_to_the_next(build_onnx: Build, asked: Any) -> None:
    assert load(build_onnx(conf={"providers": asked})).session.get_providers() == ["CPUExecutionProvider"]


def test_no_usable_provider_is_refused_with_advice(build_onnx: Build) -> None:
    with pytest.raises(LoadFailed, match=r"NoSuchProvider.*CPUExecutionProvider"):
        load(build_onnx(conf={"providers": ["NoSuchProvider"]}))
    with pytest.raises(LoadFailed, match=r"STAGEDOOR_ONNX_PROVIDERS.*NoSuchProvider"):
        load(build_onnx(), onnx_providers=("NoSuchProvider", "CPUExecutionProvider"))


def test_a_session_says_how_many_cores_a_run_keeps_busy(build_onnx: Build) -> None:
    assert load(build_onnx()).cores == 1
    assert load(build_onnx(), onnx_threads=3).cores == 3
    assert load(build_onnx(), onnx_threads=0).cores == usable_cores()
