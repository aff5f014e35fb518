"""From a folder to a warm version, or to a reason that helps."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from serving.loading.loaders import LoadOptions
from serving.loading.mlmodel import read_mlmodel
from serving.loading.version import Version, load_version
from serving.loading.warmup import logged_example, synthetic_row, time_runs
from serving.schema import compile_signature
from serving.values import Inputs, Outputs, TensorSpec
from stagedoor.errors import ArtifactError, LoadFailed, MissingArtifact, UnsafeArtifact, UnsupportedFlavor

Build = Callable[..., Path]

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and its companions warn of their own futures


def load(folder: Path, **options: Any) -> Version:
    return load_version(folder, "m", "7", "digest", LoadOptions(**options))


def test_an_onnx_model_is_warm_and_quick(build_onnx: Build) -> None:
    version = load(build_onnx(), inline_below_microseconds=100_000)
    assert (version.name, version.version, version.digest, version.flavor) == ("m", "7", "digest", "onnx")
    assert 0 < version.warm_seconds < 0.1
    assert version.quick
    assert [spec.name for spec in version.signature.inputs] == ["X"]


def test_a_model_above_the_limit_is_not_quick(build_onnx: Build) -> None:
    assert not load(build_onnx(), inline_below_microseconds=0).quick


def test_the_logged_example_is_what_warms_up(iris: Path) -> None:
    mlmodel = read_mlmodel(iris / "skops")
    signature = compile_signature(mlmodel.inputs, mlmodel.outputs, mlmodel.params)
    example = logged_example(mlmodel, signature, 100)
    assert example is not None
    assert (example.kind, example.rows, list(example.arrays)) == ("table", 2, ["a", "b", "c", "d"])
    assert load(iris / "skops").warm_seconds > 0


SIGNATURES = [
    [
        {"type": kind, "name": kind}
        for kind in ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
    ],
    [{"type": "double"}, {"type": "double"}],
    [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}],
    [{"type": "tensor", "name": "t", "tensor-spec": {"dtype": "int64", "shape": [-1]}}],
    [{"type": "array", "items": {"type": "double"}, "name": "list", "required": True}],
    [{"type": "object", "properties": {"p": {"type": "string", "required": True}}, "name": "o", "required": True}],
    [{"type": "map", "values": {"type": "long"}, "name": "m", "required": True}],
]


@pytest.mark.parametrize("number", range(len(SIGNATURES)))
def test_a_row_can_be_made_up_for_any_signature(build_onnx: Build, number: int) -> None:
    folder = build_onnx()
    content = yaml.safe_load((folder / "MLmodel").read_text())
    import json

    content["signature"] = {"inputs": json.dumps(SIGNATURES[number])}
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    mlmodel = read_mlmodel(folder)
    signature = compile_signature(mlmodel.inputs, None, None)
    row = synthetic_row(mlmodel, signature, Counting())
    assert row is not None
    assert row.rows == 1
    assert len(row.arrays) == len(SIGNATURES[number])


class Counting:
    """Takes whole batches of `only` rows, and counts."""

    def __init__(self, only: int | None = None) -> None:
        self.rows: list[int] = []
        self.only = only
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()

    def predict(self, inputs: Inputs) -> Outputs:
        if self.only is not None and inputs.rows != self.only:
            raise ValueError("fixed batch")
        self.rows.append(inputs.rows)
        return Outputs.of_array(np.zeros(inputs.rows))


def test_one_row_is_timed_whatever_the_examples_length() -> None:
    predictor = Counting()
    assert time_runs(predictor, Inputs("tensors", {"": np.zeros((5, 2))}, 5)) > 0
    assert predictor.rows[0] == 5
    assert set(predictor.rows[1:]) == {1}


def test_a_model_of_fixed_batch_size_is_timed_with_its_whole_example() -> None:
    predictor = Counting(only=5)
    assert time_runs(predictor, Inputs("tensors", {"": np.zeros((5, 2))}, 5)) > 0
    assert set(predictor.rows) == {5}


def test_python_code_is_never_quick_for_it_may_wait_for_anything(build_code: Build) -> None:
    version = load(build_code("return [1.0]", example=[1.0]), inline_below_microseconds=10_000_000)
    assert version.warm_seconds > 0
    assert (version.quick, version.cores) == (False, 0)


def test_a_model_that_fails_on_its_own_example_is_refused(build_code: Build) -> None:
    with pytest.raises(LoadFailed, match="its own input example: ValueError: no good"):
        load(build_code("raise ValueError('no good')", example=[1.0]))


def test_a_model_that_refuses_a_made_up_row_is_served(build_code: Build) -> None:
    folder = build_code("raise ValueError('unknown category')")
    content = yaml.safe_load((folder / "MLmodel").read_text())
    content["signature"] = {"inputs": '[{"type": "string", "name": "colour"}]'}
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    version = load(folder)
    assert (version.warm_seconds, version.quick) == (0.0, False)


@pytest.mark.parametrize(
    ("top", "reason"),
    [
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        ("raise RuntimeError('see /home/someone/secret/file.txt please')", r"see file\.txt please"),
        ("import sys; sys.exit(3)", "ended the process"),
        ("def broken(:", "SyntaxError|invalid syntax"),
    ],
)
def test_why_loading_failed_is_said_without_paths(build_code: Build, top: str, reason: str) -> None:
    folder = build_code("return 1", top=top)
    with pytest.raises(LoadFailed, match=reason) as caught:
        load(folder)
    assert str(folder.parent) not in str(caught.value)
    assert "/home" not in str(caught.value)
    assert "\n" not in str(caught.value)


def damage_nothing(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")


def damage_half(folder: Path) -> None:
    path = folder / "model.onnx"
    os.truncate(path, path.stat().st_size // 2)


def damage_missing(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def damage_link(folder: Path) -> None:
    (folder / "x").symlink_to("/etc/passwd")


def damage_flavor(folder: Path) -> None:
    (folder / "MLmodel").write_text("flavors: {spark: {}}")


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (damage_nothing, LoadFailed),
        (damage_half, LoadFailed),
        (damage_missing, MissingArtifact),
        (damage_link, UnsafeArtifact),
        (damage_flavor, UnsupportedFlavor),
    ],
)
def test_a_damaged_model_is_refused(build_onnx: Build, damage: Callable[[Path], None], error: type[ArtifactError]) -> None:
    folder = build_onnx()
    damage(folder)
    with pytest.raises(error):
        load(folder)
