"""Models of every kind that MLflow's scoring server and the gateway both serve, and the tables they were made for."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FEATURES = ["mean radius", "mean texture", "area", "smoothness"]
# Not told the requirements, MLflow loads each model in a process of its own to find them out.
SPARE: dict[str, Any] = {"pip_requirements": []}
PICKLED: dict[str, Any] = {"serialization_format": "pickle", **SPARE}

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
    mlflow.sklearn.save_model(model, folder, signature=signature, **PICKLED)


def sklearn_tensor(folder: Path) -> None:
    import mlflow

    matrix = data(5).to_numpy()
    model = classifier(matrix)
    signature = mlflow.models.infer_signature(matrix, model.predict_proba(matrix))
    mlflow.sklearn.save_model(model, folder, signature=signature, **PICKLED, pyfunc_predict_fn="predict_proba")


def sklearn_bare(folder: Path) -> None:
    import mlflow

    mlflow.sklearn.save_model(classifier(data(5).to_numpy()), folder, **PICKLED)


def forest_columns(folder: Path) -> None:
    import mlflow
    from sklearn.ensemble import RandomForestClassifier

    table = data(200, 1)
    model = RandomForestClassifier(7, random_state=1).fit(table, (table.sum(axis=1) > 0).astype(int))
    signature = mlflow.models.infer_signature(table, model.predict_proba(table))
    mlflow.sklearn.save_model(model, folder, signature=signature, **PICKLED, pyfunc_predict_fn="predict_proba")


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
    mlflow.sklearn.save_model(model, folder, signature=signature, **PICKLED)


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
        mlflow.onnx.save_model(graph, folder, signature=inferred, **SPARE)

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
        mlflow.pyfunc.save_model(folder, python_model=str(source), signature=signature, **SPARE)

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
