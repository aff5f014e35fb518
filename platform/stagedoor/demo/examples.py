"""Request bodies for the demo's models, one file for each protocol, ready for curl."""

import json
from pathlib import Path
from typing import Any, Final

import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris

from stagedoor.demo.catalog import BREAST_CANCER, DIABETES, DIGITS, IRIS, example_file, rows_file

_ROWS: Final = 1


def write_examples(folder: Path) -> None:
    """Write `<model>.<protocol>.json` for every model and protocol, one row each, of the real data."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = {
        BREAST_CANCER: load_breast_cancer(as_frame=True).data,
        DIABETES: load_diabetes(as_frame=True, scaled=False).data,
        IRIS: load_iris(as_frame=True).data.rename(columns=lambda name: name.removesuffix(" (cm)")),
    }
    for model, frame in frames.items():
        _write(folder, model, *_of_frame(frame.head(_ROWS).astype("float64")))
    _write_rows(rows_file(folder), frames[BREAST_CANCER])
    pixels = load_digits().data[:_ROWS].tolist()
    tensor = {"name": "pixels", "shape": [_ROWS, 64], "datatype": "FP32", "data": [value for row in pixels for value in row]}
    _write(folder, DIGITS, {"inputs": {"pixels": pixels}}, {"inputs": [tensor]}, {"data": pixels})


def _of_frame(frame: pd.DataFrame) -> tuple[Any, Any, Any]:
    rows = frame.to_numpy().tolist()
    columns = [str(name) for name in frame.columns]
    tensors = [
        {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": [row[index] for row in rows]}
        for index, name in enumerate(columns)
    ]
    return {"dataframe_split": {"columns": columns, "data": rows}}, {"inputs": tensors}, {"data": rows}


def _write_rows(file: Path, frame: pd.DataFrame) -> None:
    """All rows in the form of MLflow's scoring protocol, apart by whether they hold a zero."""
    has_zero = (frame == 0).any(axis=1)
    parts = {"with_zero": frame[has_zero], "without_zero": frame[~has_zero]}
    rows = {name: part.astype("float64").to_numpy().tolist() for name, part in parts.items()}
    file.write_text(json.dumps({"columns": [str(name) for name in frame.columns], **rows}), encoding="utf-8")


def _write(folder: Path, model: str, mlflow: Any, v2: Any, simple: Any) -> None:  # noqa: ANN401  JSON
    example_file(folder, model, "mlflow").write_text(json.dumps(mlflow), encoding="utf-8")
    example_file(folder, model, "v2").write_text(json.dumps(v2), encoding="utf-8")
    example_file(folder, model, "simple").write_text(json.dumps(simple), encoding="utf-8")
