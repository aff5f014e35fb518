"""Everything that MLflow loads for us: equal answers, no pickles, each version with its own code."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from serving.loading.loaders import LoadOptions
from serving.loading.loaders.answers import to_outputs
from serving.loading.loaders.frames import Frames
from serving.loading.loaders.pyfunc import PyfuncPredictor, load_pyfunc
from serving.loading.mlmodel import read_mlmodel
from serving.values import UNNAMED, Block, Inputs
from stagedoor.errors import UnsafeArtifact

Build = Callable[..., Path]
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
ONE_ROW = Inputs("tensors", {UNNAMED: np.array([1.0])}, 1)

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and its companions warn of their own futures


def load(folder: Path, **options: Any) -> PyfuncPredictor:
    return load_pyfunc(read_mlmodel(folder), LoadOptions(**options))


def frame(values: Any = ROWS) -> Inputs:
    return Inputs("table", Block(np.asarray(values), {name: at for at, name in enumerate("abcd")}), len(values))


def answer_of(predictor: PyfuncPredictor, inputs: Inputs = ONE_ROW) -> Any:
    outputs = predictor.predict(inputs)
    return outputs.value if outputs.kind == "json" else {name: array.tolist() for name, array in outputs.arrays.items()}


def test_a_skops_model_answers_as_mlflow_does(iris: Path) -> None:
    import mlflow
    import pandas as pd

    expected = mlflow.pyfunc.load_model(str(iris / "skops")).predict(pd.DataFrame(ROWS, columns=list("abcd")))
    outputs = load(iris / "skops").predict(frame())
    np.testing.assert_array_equal(outputs.arrays[UNNAMED], expected)


def test_a_frame_has_the_columns_names_types_and_order(build_code: Build) -> None:
    predictor = load(build_code("return [f'{name}:{kind}' for name, kind in model_input.dtypes.items()]"))
    columns = {"n": np.array([1]), "text": np.array(["x"], object), "day": np.array(["2024-01-01"], "datetime64[ns]")}
    assert answer_of(predictor, Inputs("table", columns, 1)) == {UNNAMED: ["n:int64", "text:object", "day:datetime64[ns]"]}
    assert answer_of(predictor, frame()) == {UNNAMED: [f"{name}:float64" for name in "abcd"]}


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        (Inputs("tensors", {UNNAMED: np.zeros((2, 2))}, 2), "ndarray"),
        (Inputs("tensors", {"a": np.zeros(2), "b": np.zeros(2)}, 2), "dict"),
        (Inputs("table", {"a": np.zeros(2)}, 2), "DataFrame"),
    ],
)
def test_a_model_gets_what_mlflow_would_give_it(build_code: Build, inputs: Inputs, kind: str) -> None:
    assert answer_of(load(build_code("return type(model_input).__name__")), inputs) == kind


def test_params_reach_the_model(build_code: Build) -> None:
    inputs = Inputs("tensors", ONE_ROW.arrays, 1, {"scale": 3})
    assert answer_of(load(build_code("return params")), inputs) == {"scale": 3}


def test_a_type_hinted_model_gets_a_list(tmp_path: Path) -> None:
    folder = tmp_path / "hinted"
    source = tmp_path / "hinted.py"
    source.write_text(
        "import mlflow\n\nclass Model(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, model_input: list[str]) -> list[str]:\n"
        "        return [type(model_input).__name__, *[text.upper() for text in model_input]]\n\n"
        "mlflow.models.set_model(Model())\n"
    )
    import mlflow

    mlflow.pyfunc.save_model(folder, python_model=str(source), pip_requirements=[], input_example=["a"])
    inputs = Inputs("table", {UNNAMED: np.array(["x", "y"], object)}, 2)
    assert answer_of(load(folder), inputs) == {UNNAMED: ["list", "X", "Y"]}


# --- pickles ---


def test_a_pickled_model_is_refused_with_advice(iris: Path) -> None:
    with pytest.raises(UnsafeArtifact, match=r"skops.*STAGEDOOR_ALLOW_PICKLE"):
        load(iris / "pickle")


def test_a_pickled_model_loads_once_the_operator_allows_it(iris: Path) -> None:
    expected = load(iris / "skops").predict(frame()).arrays[UNNAMED]
    np.testing.assert_array_equal(load(iris / "pickle", allow_pickle=True).predict(frame()).arrays[UNNAMED], expected)


@pytest.mark.parametrize("name", ["model.pkl", "model.bin", "artifacts/thing.joblib"])
def test_a_pickle_in_any_guise_is_never_opened(build_code: Build, tmp_path: Path, name: str) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    folder = build_code("return 1")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UnsafeArtifact, match="pickle"):
        load(folder)
    assert not (tmp_path / "sprung").exists()


def test_a_cloudpickled_python_model_is_refused_with_advice(build_code: Build) -> None:
    folder = build_code("return 1")
    content = yaml.safe_load((folder / "MLmodel").read_text())
    del content["flavors"]["python_function"]["model_code_path"]
    content["flavors"]["python_function"]["python_model"] = "python_model.data"
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    with pytest.raises(UnsafeArtifact, match="set_model"):
        load(folder)


def test_a_skops_model_cannot_name_its_own_trusted_types(iris: Path, copy_of: Callable[[Path], Path]) -> None:
    folder = copy_of(iris / "skops")
    content = yaml.safe_load((folder / "MLmodel").read_text())
    content["flavors"]["sklearn"]["skops_trusted_types"] = ["os.system"]
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    with pytest.raises(UnsafeArtifact, match=r"skops types.*os\.system"):
        load(folder)


@pytest.mark.parametrize("estimator", ["forest", "neighbours", "boosting"])
def test_ordinary_estimators_need_no_pickle(tmp_path: Path, estimator: str) -> None:
    import mlflow
    import skops.io
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier

    made = {
        "forest": RandomForestClassifier(3),
        "neighbours": KNeighborsClassifier(1),
        "boosting": HistGradientBoostingClassifier(max_iter=2),
    }
    model = made[estimator].fit(ROWS, [0, 1])
    trusted = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    mlflow.sklearn.save_model(model, tmp_path / "m", skops_trusted_types=trusted, pip_requirements=[])
    inputs = Inputs("tensors", {UNNAMED: ROWS}, 2)
    assert answer_of(load(tmp_path / "m"), inputs) == {UNNAMED: model.predict(ROWS).tolist()}


def test_the_switch_of_mlflow_is_put_back(iris: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    load(iris / "skops")
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_a_model_that_answers_a_matrix_is_given_no_frame(iris: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answer_of(load(iris / "skops"), frame())
    monkeypatch.delattr(Frames, "build")
    assert answer_of(load(iris / "skops"), frame()) == expected


# --- code ---


@pytest.mark.parametrize("loader", ["mlflow.pyfunc.model", "mlflow.pyfunc.loaders.code_model"])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("self, model_input", {}),
        ("self, model_input, params=None", {"params": {"a": 1}}),
        ("self, context, model_input", {"context": True}),
        ("self, whatever, model_input, params=None", {"whatever": True, "params": {"a": 1}}),
    ],
)
def test_predict_is_given_what_it_names(build_code: Build, loader: str, arguments: str, told: dict[str, Any]) -> None:
    given = "for name, value in locals().items() if name not in {'self', 'model_input'}"
    folder = build_code(f"return {{name: hasattr(value, 'artifacts') or value {given}}}")
    path = folder / "model.py"
    path.write_text(path.read_text().replace("self, context, model_input, params=None", arguments))
    content = yaml.safe_load((folder / "MLmodel").read_text())
    content["flavors"]["python_function"]["loader_module"] = loader
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    inputs = Inputs("tensors", {UNNAMED: ROWS}, 2, {"a": 1})
    assert load(folder).predict(inputs).value == told


def test_two_versions_keep_to_their_own_modules(build_code: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = []
    for number in (1, 2):
        folder = build_code("return whose.NUMBER", top="import whose")
        (folder / "code").mkdir()
        (folder / "code" / "whose.py").write_text(f"NUMBER = {number}\n")
        content = yaml.safe_load((folder / "MLmodel").read_text())
        content["flavors"]["python_function"]["code"] = "code"
        (folder / "MLmodel").write_text(yaml.safe_dump(content))
        folders.append(folder)
    first, second = (load(folder.relative_to(tmp_path)) for folder in folders)
    assert (answer_of(first), answer_of(second)) == (1, 2)


def test_loading_writes_nothing_into_the_model(build_code: Build) -> None:
    folder = build_code("return 1")
    before = sorted(folder.rglob("*"))
    load(folder)
    assert sorted(folder.rglob("*")) == before


def test_code_that_sets_no_model_does_not_get_the_one_before(build_code: Build) -> None:
    load(build_code("return 1"))
    folder = build_code("return 2")
    path = folder / "model.py"
    path.write_text(path.read_text().replace("mlflow.models.set_model(Model())", ""))
    with pytest.raises(Exception, match="set_model"):
        load(folder)


def test_a_process_that_loads_onnx_never_imports_mlflow_or_pandas(build_onnx: Build) -> None:
    code = (
        "import sys; sys.path[:] = sys.argv[2:]; from pathlib import Path; from serving.loading.version import load_version;"
        "from serving.loading.loaders import LoadOptions; load_version(Path(sys.argv[1]), 'm', '1', '', LoadOptions());"
        "print(sorted({'mlflow', 'pandas', 'pyarrow', 'sklearn', 'onnx'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(build_onnx()), *sys.path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"


# --- answers ---


def answers() -> list[tuple[Any, str, Any]]:
    import pandas as pd
    import scipy.sparse

    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    return [
        (np.array([[1, 2]]), "array", {UNNAMED: [[1, 2]]}),
        ([1.5, 2.5], "array", {UNNAMED: [1.5, 2.5]}),
        ([[1, 2], [3, 4]], "array", {UNNAMED: [[1, 2], [3, 4]]}),
        (["x", "y"], "array", {UNNAMED: ["x", "y"]}),
        ([np.zeros(2), np.ones(2)], "array", {UNNAMED: [[0, 0], [1, 1]]}),
        ([1, 2.5], "json", [1, 2.5]),
        ([[1], [2, 3]], "json", [[1], [2, 3]]),
        ([2**80, 1], "json", [2**80, 1]),
        ([], "json", []),
        ((1, "x", None), "json", [1, "x", None]),
        ([{"a": np.float64(1)}], "json", [{"a": 1.0}]),
        (table, "table", {"a": [1, 2], "b": ["x", "y"]}),
        (table["a"], "table", {"a": [1, 2]}),
        (pd.Series([1.0, 2.0]), "table", {"0": [1.0, 2.0]}),
        (scipy.sparse.csr_matrix([[0, 1]]), "array", {UNNAMED: [[0, 1]]}),
        ({"p": np.array([1.0]), "q": [2, 3]}, "named", {"p": [1.0], "q": [2, 3]}),
        ({"p": 1.0}, "json", {"p": 1.0}),
        ({"p": {1: [np.int64(2)]}}, "json", {"p": {"1": [2]}}),
        ({}, "json", {}),
        ("text", "json", "text"),
        (None, "json", None),
        (np.float32(0.5), "json", 0.5),
        (pd.Timestamp("2024-01-01"), "json", "2024-01-01T00:00:00"),
    ]


@pytest.mark.parametrize("number", range(23))
def test_every_kind_of_answer_has_a_form(number: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer, kind, expected = answers()[number]
    outputs = to_outputs(answer)
    assert outputs.kind == kind
    found = outputs.value if kind == "json" else {name: array.tolist() for name, array in outputs.arrays.items()}
    assert found == expected


def test_the_table_of_answers_is_tested_whole() -> None:
    assert len(answers()) == 23


def test_an_answer_without_a_form_is_an_error() -> None:
    with pytest.raises(TypeError, match="object"):
        to_outputs([object()])
