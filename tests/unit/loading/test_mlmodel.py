"""What an MLmodel file says, and what it must not say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.loading.loaders import choose
from serving.loading.mlmodel import read_mlmodel
from stagedoor.errors import ArtifactError, LoadFailed, MissingArtifact, UnsafeArtifact, UnsupportedFlavor

ONNX = {"onnx": {"data": "model.onnx"}}


def write(folder: Path, **content: Any) -> Path:
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    return folder


def test_flavors_signature_and_example_are_read(tmp_path: Path) -> None:
    (tmp_path / "serving_input_example.json").write_text("{}")
    folder = write(
        tmp_path,
        flavors=ONNX,
        signature={"inputs": '[{"type": "double", "name": "a"}]', "outputs": None, "params": None},
        saved_input_example_info={"serving_input_path": "serving_input_example.json"},
    )
    mlmodel = read_mlmodel(folder)
    assert mlmodel.flavors == ONNX
    assert mlmodel.inputs == [{"type": "double", "name": "a"}]
    assert (mlmodel.outputs, mlmodel.params) == (None, None)
    assert mlmodel.example == tmp_path / "serving_input_example.json"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("model.pt", "mlflow.pytorch.log_model"),
        ("net.pth", "mlflow.pytorch.log_model"),
        ("model.safetensors", "mlflow.transformers.log_model"),
        ("model.onnx", "mlflow.onnx.log_model"),
        ("model.pkl", "mlflow.sklearn.log_model"),
    ],
)
def test_a_bare_file_is_refused_with_advice_on_how_to_log_it(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(MissingArtifact, match=advice):
        read_mlmodel(tmp_path)


@pytest.mark.parametrize("folder", ["empty", "absent"])
def test_a_folder_without_an_mlmodel_file_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingArtifact, match="no MLmodel file"):
        read_mlmodel(tmp_path / folder)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "5", "flavors: 3", "flavors: {onnx: 3}", "{", "a: !!python/object/apply:os.system [id]", "\x00"],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(LoadFailed):
        read_mlmodel(tmp_path)


def test_a_file_that_grows_without_end_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (tmp_path / "MLmodel").write_text("\n".join([*lines, "flavors: {onnx: {data: *a8}}"]))
    with pytest.raises(ArtifactError):
        read_mlmodel(tmp_path)


@pytest.mark.parametrize(
    "flavors",
    [
        {"onnx": {"data": "../model.onnx"}},
        {"onnx": {"data": "/etc/passwd"}},
        {"onnx": {"data": "a/../../b"}},
        {"onnx": {"data": "C:\\model.onnx"}},
        {"onnx": {"data": "..\\model.onnx"}},
        {"python_function": {"code": "../code"}},
        {"python_function": {"artifacts": {"x": {"path": "../../secret", "uri": "runs:/1/x"}}}},
        {"spacy": {"anything_else": "../x"}},
    ],
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, flavors: dict[str, Any]) -> None:
    with pytest.raises(UnsafeArtifact):
        read_mlmodel(write(tmp_path, flavors=flavors))


def test_where_the_author_had_the_files_does_not_matter(tmp_path: Path) -> None:
    conf = {"model_code_path": "/home/someone/../model.py", "artifacts": {"x": {"path": "artifacts/x", "uri": "/tmp/x"}}}
    assert read_mlmodel(write(tmp_path, flavors={"python_function": conf})).flavors["python_function"] == conf


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "model.onnx").symlink_to("../secret")
    with pytest.raises(UnsafeArtifact, match="symbolic link"):
        read_mlmodel(write(folder, flavors=ONNX))


def test_a_path_through_a_linked_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "sub").symlink_to(tmp_path)
    with pytest.raises(UnsafeArtifact):
        read_mlmodel(write(folder, flavors={"onnx": {"data": "sub/x"}}))


def test_onnx_is_preferred_to_pyfunc(tmp_path: Path) -> None:
    mlmodel = read_mlmodel(write(tmp_path, flavors={"python_function": {"loader_module": "mlflow.onnx"}, **ONNX}))
    assert choose(mlmodel)[0] == "onnx"


def test_a_model_without_a_flavor_we_load_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFlavor, match=r"spark.*python_function"):
        choose(read_mlmodel(write(tmp_path, flavors={"spark": {}})))
