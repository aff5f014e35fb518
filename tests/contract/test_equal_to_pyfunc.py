"""Answers equal those of MLflow's own scoring server, for every kind of model and every way of writing the same data.

The reference is `mlflow.pyfunc.scoring_server.invocations`, the function behind `mlflow models serve`.
"""

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serving.codecs import CODECS, Answer, Wire
from serving.loading.loaders.options import LoadOptions
from serving.loading.version import Version, load_version
from stagedoor.errors import SchemaMismatch

pytestmark = [pytest.mark.slow]

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
FEATURES = ["mean radius", "mean texture", "area", "smoothness"]
OPTIONS = LoadOptions(allow_pickle=True)

PYTHON_MODEL = """
import mlflow
import pandas as pd


class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        {body}


mlflow.models.set_model(Model())
"""


def data(rows: int, seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(rows, 4)).round(5), columns=FEATURES)


def classifier(x: Any) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = data(200, 1)
    y = (table.sum(axis=1) + table["area"] ** 2 > 0.5).astype(int)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(
        table if isinstance(x, pd.DataFrame) else table.to_numpy(), y
    )


def save(folder: Path, write: Callable[[Path], None]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow and skl2onnx warn about their own insides
        write(folder)
    return folder


def sklearn_columns(folder: Path) -> None:
    import mlflow

    table = data(5)
    model = classifier(table)
    signature = mlflow.models.infer_signature(table, model.predict(table))
    mlflow.sklearn.save_model(model, folder, signature=signature, serialization_format="pickle")


def sklearn_tensor(folder: Path) -> None:
    import mlflow

    matrix = data(5).to_numpy()
    model = classifier(matrix)
    signature = mlflow.models.infer_signature(matrix, model.predict_proba(matrix))
    mlflow.sklearn.save_model(
        model, folder, signature=signature, serialization_format="pickle", pyfunc_predict_fn="predict_proba"
    )


def sklearn_bare(folder: Path) -> None:
    import mlflow

    mlflow.sklearn.save_model(classifier(data(5).to_numpy()), folder, serialization_format="pickle")


def forest_columns(folder: Path) -> None:
    import mlflow
    from sklearn.ensemble import RandomForestClassifier

    table = data(200, 1)
    model = RandomForestClassifier(7, random_state=1).fit(table, (table.sum(axis=1) > 0).astype(int))
    signature = mlflow.models.infer_signature(table, model.predict_proba(table))
    mlflow.sklearn.save_model(
        model, folder, signature=signature, serialization_format="pickle", pyfunc_predict_fn="predict_proba"
    )


def sklearn_mixed(folder: Path) -> None:
    import mlflow
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = MIXED.sample(40, replace=True, random_state=1, ignore_index=True)
    encode = make_column_transformer(
        (OneHotEncoder(), ["city"]), (StandardScaler(), ["amount", "age"]), remainder="passthrough"
    )
    model = make_pipeline(encode, LogisticRegression()).fit(table, table["age"] > 40)
    signature = mlflow.models.infer_signature(table, model.predict(table))
    mlflow.sklearn.save_model(model, folder, signature=signature, serialization_format="pickle")


def onnx_of(*, outputs: str, signature: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        import mlflow
        from skl2onnx import to_onnx

        matrix = data(5).to_numpy().astype(np.float32)
        if outputs == "all":
            graph = to_onnx(classifier(matrix), matrix, options={"zipmap": False}, target_opset=18)
        else:
            from sklearn.linear_model import LinearRegression

            graph = to_onnx(LinearRegression().fit(matrix, matrix[:, 0] * 3), matrix, target_opset=18)
        given = data(5) if signature == "columns" else matrix
        inferred = mlflow.models.infer_signature(given) if signature != "none" else None
        mlflow.onnx.save_model(graph, folder, signature=inferred)

    return write


def python_model(
    body: str, inputs: Any, params: dict[str, Any] | None = None, optional: tuple[str, ...] = ()
) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        import mlflow
        from mlflow.types import ColSpec, Schema

        source = folder.parent / f"{folder.name}.py"
        source.write_text(PYTHON_MODEL.format(body=body), encoding="utf-8")
        signature = mlflow.models.infer_signature(inputs, params=params)
        if optional:
            specs = [ColSpec(s.type, s.name, required=s.name not in optional) for s in signature.inputs.inputs]
            signature = mlflow.models.ModelSignature(Schema(specs), params=signature.params)
        mlflow.pyfunc.save_model(folder, python_model=str(source), signature=signature)

    return write


TEXTS = pd.DataFrame(
    {
        "name": ["ann", "bob"],
        "at": pd.to_datetime(["2026-01-31T09:30:00", "2025-12-01T00:00:00"]).as_unit("ns"),
        "score": [1.5, 2.5],
        "count": [1, 2],
        "good": [True, False],
    }
)
MIXED = pd.DataFrame(
    {
        "city": pd.Series(["bern", "basel", "genf"], dtype=object),
        "amount": [1.5, -2.5, 0.25],
        "age": [20, 50, 80],
        "member": [True, False, True],
    }
)
NESTED = pd.DataFrame(
    {
        "tags": [["a", "b"], ["c"]],
        "values": [[1.5, 2.5], [3.5]],
        "person": [{"name": "ann", "age": 3.5}, {"name": "bob", "age": 4.5}],
    }
)

WRITERS: dict[str, Callable[[Path], None]] = {
    "sklearn columns": sklearn_columns,
    "forest columns": forest_columns,
    "sklearn mixed": sklearn_mixed,
    "sklearn tensor": sklearn_tensor,
    "sklearn bare": sklearn_bare,
    "onnx tensor": onnx_of(outputs="all", signature="tensor"),
    "onnx columns, one output": onnx_of(outputs="one", signature="columns"),
    "onnx columns": onnx_of(outputs="all", signature="columns"),
    "onnx bare": onnx_of(outputs="all", signature="none"),
    "params": python_model(
        "return model_input['x'].to_numpy() ** params['power'] + sum(params['weights'])",
        pd.DataFrame({"x": [1.5]}),
        {"power": 2, "weights": [0.5, 0.25]},
    ),
    "texts": python_model(
        "return pd.DataFrame({'name': model_input['name'].str.upper(), 'year': model_input['at'].dt.year,"
        " 'at': model_input['at'],"
        " 'sum': model_input['score'].fillna(-1) + model_input['count'], 'good': ~model_input['good']})",
        TEXTS,
    ),
    "optional": python_model(
        "return [list(model_input.columns), [None if pd.isna(v) else v for v in model_input['score'].tolist()]]",
        TEXTS[["name", "score", "count"]],
        optional=("name", "count"),
    ),
    "nested": python_model(
        "return [[sorted(t), sum(v), p['name'], p['age'] * 2]"
        " for t, v, p in zip(model_input['tags'], model_input['values'], model_input['person'])]",
        NESTED,
    ),
    "named tensors": python_model(
        "return {'sum': model_input['a'].sum(axis=1) + model_input['b'].ravel(), 'a': model_input['a']}",
        {"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 1), np.int64)},
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Version]]:
    folder = tmp_path_factory.mktemp("models")
    known: dict[str, tuple[Any, Version]] = {}

    def get(name: str) -> tuple[Any, Version]:
        import mlflow

        if name not in known:
            path = save(folder / name.replace(" ", "-").replace(",", ""), WRITERS[name])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                known[name] = mlflow.pyfunc.load_model(str(path)), load_version(path, "m", "1", "0" * 64, OPTIONS)
        return known[name]

    return get


def ours(version: Version, codec: str, body: bytes, content_type: str = JSON) -> dict[str, Any]:
    protocol = CODECS[codec]
    decoded = protocol.decode(Wire(body, content_type, {}), version.signature, 1000)
    outputs = version.predictor.predict(decoded.inputs)
    version.signature.check_outputs(outputs, decoded.inputs.rows)
    encoded = protocol.encode(outputs, decoded, version.signature, Answer("m", "1", "id", 1.0))
    answer: dict[str, Any] = json.loads(encoded.body)
    return answer


def theirs(model: Any, body: bytes, content_type: str = JSON) -> Any:
    from mlflow.pyfunc.scoring_server import invocations

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = invocations(body, content_type, model, model.metadata.get_input_schema())
    assert answer.status == 200
    return json.loads(answer.response)["predictions"]


def assert_same(mine: Any, reference: Any) -> None:
    """Labels and text to the last bit, floats to 1e-6."""
    if isinstance(reference, float):
        assert isinstance(mine, float)
        assert mine == pytest.approx(reference, rel=1e-6, abs=1e-6)
    elif isinstance(reference, dict):
        assert list(mine) == list(reference)
        for name, value in reference.items():
            assert_same(mine[name], value)
    elif isinstance(reference, list):
        assert len(mine) == len(reference)
        for one, other in zip(mine, reference, strict=True):
            assert_same(one, other)
    else:
        assert mine == reference
        assert type(mine) is type(reference)


ROWS = data(3, 7)
LISTS = ROWS.to_numpy().tolist()
RECORDS = ROWS.to_dict(orient="records")
SPLIT = {"dataframe_split": {"columns": FEATURES, "data": LISTS}}
SHUFFLED = {"dataframe_split": ROWS[FEATURES[::-1]].to_dict(orient="split")}


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def jsons(*bodies: object) -> list[tuple[str, bytes]]:
    return [(JSON, json.dumps(body).encode()) for body in bodies]


FILES = [(CSV, ROWS.to_csv(index=False).encode()), (PARQUET, parquet(ROWS))]
COLUMNWISE = {"inputs": {name: ROWS[name].tolist() for name in FEATURES}}
TEXT_ROWS = [
    {"name": "ann", "at": "2026-01-31T09:30:00", "score": 1.5, "count": 1, "good": True},
    {"name": "bob", "at": "2025-12-01T00:00:00", "score": None, "count": 2, "good": False},
]
SAME_AS_MLFLOW: dict[str, list[tuple[str, bytes]]] = {
    "sklearn columns": [
        *jsons(SPLIT, SHUFFLED, {"dataframe_records": RECORDS}, {"instances": RECORDS}, {"inputs": RECORDS}, COLUMNWISE),
        *FILES,
    ],
    "forest columns": [*jsons(SPLIT, SHUFFLED, {"dataframe_records": RECORDS}, COLUMNWISE), *FILES],
    "sklearn mixed": [
        *jsons(
            {"dataframe_split": MIXED.to_dict(orient="split", index=False)},
            {"dataframe_records": MIXED.to_dict(orient="records")[1:2]},
            {"inputs": {name: MIXED[name].tolist() for name in reversed(list(MIXED))}},
        ),
        (PARQUET, parquet(MIXED)),
    ],
    "sklearn tensor": [*jsons({"inputs": LISTS}, {"instances": LISTS}, SPLIT, {"dataframe_records": RECORDS}), FILES[1]],
    "sklearn bare": jsons({"inputs": LISTS}, {"instances": LISTS}),
    "onnx tensor": jsons({"inputs": LISTS}, {"instances": LISTS}),
    "onnx bare": jsons({"inputs": LISTS}, {"instances": LISTS}),
    "onnx columns, one output": [*jsons(SPLIT, SHUFFLED, {"dataframe_records": RECORDS}, {"instances": RECORDS}), *FILES],
    "params": jsons(
        {"inputs": [1.5, 2.0]},
        {"inputs": {"x": [1.5, 2.0]}, "params": {"power": 3}},
        {"instances": [{"x": 1.5}], "params": {"weights": [1.0, 2.0, 3.0]}},
        {"instances": [{"x": 1.5}], "params": {"weights": [1, 2], "power": 0}},
        {"dataframe_split": {"columns": ["x"], "data": [[1.5]]}, "params": {}},
        {"dataframe_records": [{"x": 2}], "params": None},
    ),
    "texts": [
        *jsons(
            {"dataframe_records": TEXT_ROWS},
            {"dataframe_split": {"columns": list(TEXT_ROWS[0]), "data": [list(row.values()) for row in TEXT_ROWS]}},
        ),
        (PARQUET, parquet(TEXTS)),
    ],
    "optional": [
        *jsons(
            {"dataframe_records": [{"score": 1.5}]},
            {"dataframe_records": [{"score": None, "name": "x"}, {"score": 1, "name": "y"}]},
            {"dataframe_split": {"columns": ["count", "score"], "data": [[1, 1.5]]}},
        ),
        (CSV, b"score,name\n1.5,007\n,x\n"),
    ],
    "nested": jsons({"dataframe_records": NESTED.to_dict(orient="records")}, {"inputs": NESTED.to_dict(orient="records")[0]}),
    "named tensors": jsons(
        {"inputs": {"a": [[1.5, 2, 3], [4, 5, 6]], "b": [[1], [2]]}},
        {"instances": [{"a": [1.5, 2, 3], "b": [1]}, {"a": [4, 5, 6], "b": [2]}]},
        {"dataframe_records": [{"a": [1.5, 2, 3], "b": 1}, {"a": [4, 5, 6], "b": 2}]},
    ),
}


@pytest.mark.parametrize(
    ("name", "content_type", "body"), [(name, *body) for name, bodies in SAME_AS_MLFLOW.items() for body in bodies]
)
def test_mlflow_scoring_answers_as_mlflow_does(
    models: Callable[[str], tuple[Any, Version]], name: str, content_type: str, body: bytes
) -> None:
    model, version = models(name)
    assert_same(ours(version, "mlflow", body, content_type)["predictions"], theirs(model, body, content_type))


MATRIX = {"name": "input-1", "shape": [3, 4], "datatype": "FP64", "data": LISTS}
BY_COLUMN = [{"name": name, "shape": [3, 1], "datatype": "FP64", "data": ROWS[name].tolist()} for name in FEATURES]


@pytest.mark.parametrize(
    "name", ["sklearn columns", "sklearn tensor", "sklearn bare", "onnx tensor", "onnx columns", "onnx bare"]
)
def test_every_protocol_gives_the_same_numbers(models: Callable[[str], tuple[Any, Version]], name: str) -> None:
    _, version = models(name)
    columns = "columns" in name
    reference = ours(version, "mlflow", json.dumps(SPLIT if columns else {"inputs": LISTS}).encode())["predictions"]
    if name == "onnx bare":
        MATRIX["name"] = version.signature.inputs[0].name
    bodies = [{"inputs": [MATRIX]}] + ([{"inputs": BY_COLUMN}] if columns else [])
    by_name = _by_output(reference)
    for body in bodies:
        tensors = {
            t["name"]: np.reshape(t["data"], t["shape"]).tolist()
            for t in ours(version, "v2", json.dumps(body).encode())["outputs"]
        }
        assert list(tensors.values()) == list(by_name.values())
    simple = ours(version, "simple", json.dumps({"data": LISTS, "metadata": {"a": 1}}).encode())
    assert simple["metadata"] == {"a": 1}
    assert simple["predictions"] == next(iter(by_name.values()))
    flat = ours(version, "simple", json.dumps({"data": [value for row in LISTS for value in row], "shape": [3, 4]}).encode())
    assert flat["predictions"] == simple["predictions"]
    if name.startswith("onnx"):
        assert simple["confidence"] == [max(row) for row in by_name["probabilities"]]


def _by_output(predictions: Any) -> dict[str, Any]:
    """A MLflow answer as one nested list for each output."""
    if isinstance(predictions, dict):
        return predictions
    if isinstance(predictions[0], dict):
        return {name: [row[name] for row in predictions] for name in predictions[0]}
    return {"output-1": predictions}


def test_onnx_with_several_outputs_answers_a_table_where_mlflow_fails(models: Callable[[str], tuple[Any, Version]]) -> None:
    from mlflow.exceptions import MlflowException

    model, version = models("onnx columns")
    body = json.dumps(SPLIT).encode()
    with pytest.raises(MlflowException):
        theirs(model, body)
    raw = model.get_raw_model().run(None, {model.get_raw_model().get_inputs()[0].name: ROWS.to_numpy().astype(np.float32)})
    answer = _by_output(ours(version, "mlflow", body)["predictions"])
    assert answer["label"] == raw[0].tolist()
    assert answer["probabilities"] == raw[1].tolist()


def test_csv_fits_a_tensor_signature_where_mlflow_fails(models: Callable[[str], tuple[Any, Version]]) -> None:
    model, version = models("sklearn tensor")
    expected = theirs(model, json.dumps({"inputs": LISTS}).encode())
    assert_same(ours(version, "mlflow", FILES[0][1], CSV)["predictions"], expected)


def test_rows_without_names_are_taken_in_the_signatures_order(models: Callable[[str], tuple[Any, Version]]) -> None:
    """MLflow refuses them for signatures with names."""
    model, version = models("sklearn columns")
    expected = theirs(model, json.dumps(SPLIT).encode())
    assert_same(ours(version, "mlflow", json.dumps({"inputs": LISTS}).encode())["predictions"], expected)
    assert_same(ours(version, "mlflow", json.dumps({"instances": LISTS}).encode())["predictions"], expected)


def test_what_a_model_cannot_take_is_refused_before_it_runs(models: Callable[[str], tuple[Any, Version]]) -> None:
    _, version = models("onnx bare")
    with pytest.raises(SchemaMismatch):
        ours(version, "mlflow", json.dumps({"inputs": [row[:3] for row in LISTS]}).encode())
