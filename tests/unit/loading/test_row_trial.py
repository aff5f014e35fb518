"""Which models may be given rows of several callers: found out when they are loaded, by a trial."""

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from serving.joint import Joint
from serving.loading.loaders import LoadOptions
from serving.loading.row_trial import keeps_rows_apart
from serving.loading.version import Version, load_version
from serving.values import UNNAMED, Array, Block, Inputs, Outputs, TensorSpec

from .conftest import onnx_folder

Build = Callable[..., Path]
COUNT = itertools.count()

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and its companions warn of their own futures


class Model:
    """Answers with what `answer` makes of the array."""

    def __init__(self, answer: Callable[[Array], Any], takes: tuple[int, ...] | None = None, gives: Any = None) -> None:
        self.inputs = () if takes is None else (TensorSpec(UNNAMED, "FP64", takes),)
        self.outputs = () if gives is None else (TensorSpec(UNNAMED, "FP64", gives),)
        self._answer = answer

    def predict(self, inputs: Inputs) -> Outputs:
        arrays = inputs.arrays
        array = arrays.matrix if isinstance(arrays, Block) else next(iter(arrays.values()))
        answer = self._answer(array)
        return answer if isinstance(answer, Outputs) else Outputs.of_array(np.asarray(answer))


def row(*values: Any, dtype: Any = np.float64) -> Inputs:
    return Inputs("tensors", {UNNAMED: np.array([values], dtype)}, 1)


def refuse_negative(x: Array) -> Array:
    if (x < 0).any():
        raise ValueError
    return x


APART: Mapping[str, Callable[[Array], Any]] = {
    "each number": lambda x: x * 2,
    "each row": lambda x: x.sum(axis=1),
    "rounded in another way": lambda x: (x.sum(axis=1) * 1e6).astype(np.float32) * np.float32(1 + 1e-6 * len(x)),
    "several arrays": lambda x: Outputs("named", {"label": x.argmax(axis=1), "scores": x}),
    "texts": lambda x: Outputs("table", {"label": np.array([str(value) for value in x[:, 0]], object)}),
    "objects": lambda x: Outputs("json", value=[{"score": float(value)} for value in x[:, 0]]),
    "not a number": lambda x: np.where(x > 0, np.nan, x),
}


@pytest.mark.parametrize("name", APART)
def test_a_model_that_answers_row_by_row_passes(name: str) -> None:
    assert keeps_rows_apart(Model(APART[name]), row(1.0, 2.0))


def test_so_it_does_with_a_block_of_columns_and_with_an_example_of_several_rows() -> None:
    model = Model(APART["each row"])
    columns = Inputs("table", Block(np.array([[1.0, 2.0]]), {"a": 0, "b": 1}), 1)
    assert keeps_rows_apart(model, columns)
    assert keeps_rows_apart(model, Inputs("tensors", {UNNAMED: np.arange(10.0).reshape(5, 2)}, 5))


TOGETHER: Mapping[str, Callable[[Array], Any]] = {
    "shares over all rows": lambda x: np.exp(x) / np.exp(x).sum(axis=0),
    "distance from the mean": lambda x: x - x.mean(axis=0),
    "rank among the rows": lambda x: x[:, 0].argsort(),
    "one number for all": lambda x: x.sum(axis=0),
    "a constant of two": lambda x: np.ones(2),
    "a scalar": lambda x: x.sum(),
    "the number of rows": lambda x: np.full(len(x), len(x)),
    "one text for all": lambda x: Outputs("json", value="ok"),
    "a type that depends on the rows": lambda x: x if len(x) == 1 else x.astype(np.float32),
    "another shape for several": lambda x: x if len(x) == 1 else x[:, :1],
    "another kind for several": lambda x: x if len(x) == 1 else Outputs("named", {"y": x}),
    "raises on several": lambda x: x.reshape(1, 2),
    "chance": lambda x: x + next(COUNT),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_a_model_in_which_rows_meet_does_not(name: str) -> None:
    assert not keeps_rows_apart(Model(TOGETHER[name]), row(1.0, 2.0))


def test_where_no_other_row_can_be_made_up_the_same_one_twice_has_to_do() -> None:
    calls: list[Any] = []

    def model(x: Array) -> Array:
        calls.append(x.tolist())
        if (x[:, 0] == 0).any():
            raise KeyError
        return x

    assert keeps_rows_apart(Model(model), row(7, 8, dtype=np.int64))
    assert calls == [[[7, 8]], [[0, 0]], [[7, 8]] * 3]


def test_texts_are_tried_as_they_are() -> None:
    assert keeps_rows_apart(Model(lambda x: x), row("a", "b", dtype=object))


@pytest.mark.parametrize("size", [(), (1, 2), (5, 2)])
def test_a_file_that_fixes_the_rows_it_takes_is_not_tried(size: tuple[int, ...]) -> None:
    assert keeps_rows_apart(Model(APART["each number"], (-1, 2)), row(1.0, 2.0))
    assert not keeps_rows_apart(Model(APART["each number"], size), row(1.0, 2.0))


def test_a_file_that_fixes_the_rows_it_gives_is_not_tried() -> None:
    assert keeps_rows_apart(Model(APART["each number"], (-1, 2), (-1, 2)), row(1.0, 2.0))
    assert keeps_rows_apart(Model(APART["each number"], (-1, 2), ()), row(1.0, 2.0))
    assert not keeps_rows_apart(Model(APART["each number"], (-1, 2), (1, 2)), row(1.0, 2.0))


def test_inputs_without_rows_in_common_are_not_tried() -> None:
    apart = Inputs("tensors", {"x": np.ones((1, 2)), "table": np.ones((9, 2))}, 1)
    assert not keeps_rows_apart(Model(APART["each number"]), apart)


# --- loaded versions --------------------------------------------------------------------------------------------------


def load(folder: Path) -> Version:
    return load_version(folder, "m", "7", "digest", LoadOptions())


def graph(kind: str, rows: int | None) -> onnx.ModelProto:
    shape = [rows, 3]
    nodes = [helper.make_node(kind, ["X"], ["Y"], **({"axis": 0} if kind == "Softmax" else {}))]
    made = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("kind", "rows", "batchable"),
    [("Relu", None, True), ("Relu", 1, False), ("Relu", 2, False), ("Softmax", None, False), ("RandomNormalLike", None, False)],
)
def test_an_onnx_file_is_batchable_if_it_leaves_rows_free_and_apart(
    tmp_path: Path, kind: str, rows: int | None, *, batchable: bool
) -> None:
    version = load(onnx_folder(tmp_path / "model", graph(kind, rows)))
    assert (version.rows_apart, version.batchable) == (batchable, batchable)


@pytest.mark.parametrize("kind", ["onnx", "zipmap"])
def test_a_classifier_with_labels_and_probabilities_is_batchable(iris: Path, kind: str) -> None:
    assert load(iris / kind).batchable


@pytest.mark.parametrize(
    ("metadata", "batchable"),
    [
        ({"stagedoor_batch": True}, True),
        ({"stagedoor_batch": "yes"}, False),
        ({"stagedoor_batch": False}, False),
        (None, False),
    ],
)
def test_a_pyfunc_has_to_declare_it(build_code: Build, metadata: Any, *, batchable: bool) -> None:
    folder = build_code("return model_input * 2", example=[[1.0, 2.0]])
    content = yaml.safe_load((folder / "MLmodel").read_text())
    (folder / "MLmodel").write_text(yaml.safe_dump({**content, "metadata": metadata}))
    version = load(folder)
    assert (version.rows_apart, version.batchable) == (True, batchable)


def test_so_does_one_of_scikit_learn_with_columns(iris: Path) -> None:
    version = load(iris / "skops")
    assert (version.rows_apart, version.batchable) == (True, False)


MIXED = [{"type": "string", "name": "colour", "required": True}, {"type": "double", "name": "size", "required": True}]
BODIES = {
    "frame": "return model_input.assign(size=model_input['size'] * 2)",
    "series": "return model_input['size'].rename('y')",
    "array": "return model_input['size'].to_numpy()",
    "texts": "return [f'{c}!' for c in model_input['colour']]",
    "records": "return [{'c': c, 's': s} for c, s in zip(model_input['colour'], model_input['size'])]",
    "arrays": "return {'c': model_input['colour'].to_numpy(), 's': model_input['size'].to_numpy()}",
}


@pytest.mark.parametrize("kind", BODIES)
def test_callers_of_a_pyfunc_get_the_same_together_as_alone(build_code: Build, kind: str) -> None:
    folder = build_code(BODIES[kind])
    content = yaml.safe_load((folder / "MLmodel").read_text())
    content |= {"signature": {"inputs": json.dumps(MIXED)}, "metadata": {"stagedoor_batch": True}}
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    version = load(folder)
    assert version.batchable
    form = version.signature.form
    asked = [form.split(None, rows, 9) for rows in ([["red", 1.5]], [["blue", 2.0], ["green", 0.5]], [["", 3.0]])]
    joint = Joint(version.predictor, version.signature.check_outputs)
    told: dict[int, Any] = {}
    joint.answer(asked, told.__setitem__)
    assert not joint.one_by_one
    for at, inputs in enumerate(asked):
        assert written(told[at]) == written(joint.alone(inputs))


def written(answer: Any) -> Any:
    assert isinstance(answer, Outputs)
    return answer.kind, answer.value, {name: (array.dtype, array.tolist()) for name, array in answer.arrays.items()}


def test_a_declaration_that_is_not_true_is_found_out(build_code: Build) -> None:
    folder = build_code("return model_input - model_input.mean()", example=[[1.0, 2.0]])
    content = yaml.safe_load((folder / "MLmodel").read_text())
    (folder / "MLmodel").write_text(yaml.safe_dump({**content, "metadata": {"stagedoor_batch": True}}))
    version = load(folder)
    assert (version.rows_apart, version.batchable) == (False, False)


def test_what_is_kept_beside_a_version_can_go_with_it(build_onnx: Build) -> None:
    version = load(build_onnx())
    assert ref(version)() is version
