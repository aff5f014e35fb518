"""Answers equal those of MLflow's own scoring server, for every kind of model and every way of writing the same data.

The reference is `mlflow.pyfunc.scoring_server.invocations`, the function behind `mlflow models serve`.
"""

import json

import pytest

from .conftest import CSV, FILES, JSON, LISTS, PARQUET, RECORDS, ROWS, SPLIT, Models, assert_same, ours, parquet, theirs
from .models import FEATURES, MIXED, NESTED, TEXTS

pytestmark = [pytest.mark.slow]


def jsons(*bodies: object) -> list[tuple[str, bytes]]:
    return [(JSON, json.dumps(body).encode()) for body in bodies]


SHUFFLED = {"dataframe_split": ROWS[FEATURES[::-1]].to_dict(orient="split")}
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
def test_mlflow_scoring_answers_as_mlflow_does(models: Models, name: str, content_type: str, body: bytes) -> None:
    model, version = models(name)
    assert_same(ours(version, "mlflow", body, content_type)["predictions"], theirs(model, body, content_type))
