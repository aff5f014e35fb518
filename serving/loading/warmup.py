"""One plausible request for a model that nobody has called yet, and how long answering it takes."""

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson

from serving.codecs import CODECS, Wire
from serving.loading.mlmodel import MLModel
from serving.rows import cut
from serving.schema import Signature
from serving.values import OIP_TO_NUMPY, UNNAMED, Inputs, Predictor, TensorSpec
from stagedoor.errors import StagedoorError

MOST_RUNS: Final = 24
FEWEST_RUNS: Final = 3
ENOUGH_SECONDS: Final = 0.1
_SAMPLES: Final[Mapping[str, Any]] = {
    "boolean": True,
    "integer": 1,
    "long": 1,
    "float": 0.5,
    "double": 0.5,
    "string": "a",
    "binary": "YQ==",
    "datetime": "2024-01-01T00:00:00",
}


def logged_example(mlmodel: MLModel, signature: Signature, max_rows: int) -> Inputs | None:
    """The input example that was logged with the model; None without one, or if it does not fit the signature."""
    if mlmodel.example is None:
        return None
    return _decode(mlmodel.example.read_bytes(), signature, max_rows)


def synthetic_row(mlmodel: MLModel, signature: Signature, predictor: Predictor) -> Inputs | None:
    """One made-up row that fits the signature, or the model's own inputs; None where neither says anything."""
    if mlmodel.inputs is not None:
        return _decode(orjson.dumps(_body(mlmodel.inputs)), signature, 1)
    if not predictor.inputs:
        return None
    return Inputs("tensors", {spec.name: _zeros(spec) for spec in predictor.inputs}, 1)


def time_runs(predictor: Predictor, inputs: Inputs) -> float:
    """Seconds that one prediction of one row of `inputs` takes, once warm. Raises whatever the model raises."""
    row = one_row(predictor, inputs)
    runs: list[float] = []
    while len(runs) < FEWEST_RUNS or (len(runs) < MOST_RUNS and sum(runs) < ENOUGH_SECONDS):
        start = time.perf_counter()
        predictor.predict(row)
        runs.append(time.perf_counter() - start)
        if runs[0] > ENOUGH_SECONDS:
            break
    # The least, not the median: whatever else the machine does while a version is loaded only ever adds to it.
    return min(runs)


def one_row(predictor: Predictor, inputs: Inputs) -> Inputs:
    """The first row of `inputs`, or all where the model takes nothing less. Raises what the model raises on all of them."""
    predictor.predict(inputs)
    return _works(predictor, cut(inputs, 0, 1)) or inputs


def _works(predictor: Predictor, inputs: Inputs) -> Inputs | None:
    """`inputs` if the model takes them: a graph with a fixed batch size takes its whole example only."""
    try:
        predictor.predict(inputs)
    except Exception:  # noqa: BLE001  any framework's error; the example as a whole has worked
        return None
    return inputs


def _decode(body: bytes, signature: Signature, max_rows: int) -> Inputs | None:
    try:
        return CODECS["mlflow"].decode(Wire(body, "application/json", {}), signature, max_rows).inputs
    except StagedoorError:
        return None


def _body(inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """A body of MLflow's scoring protocol with one row for the signature's columns or tensors."""
    if inputs[0].get("type") == "tensor":
        tensors = {str(spec.get("name") or UNNAMED): _tensor(spec.get("tensor-spec", {})) for spec in inputs}
        return {"inputs": tensors[UNNAMED] if list(tensors) == [UNNAMED] else tensors}
    if any(column.get("name") is None for column in inputs):
        return {"dataframe_split": {"data": [[_sample(column) for column in inputs]]}}
    return {"dataframe_records": [{column["name"]: _sample(column) for column in inputs}]}


def _sample(column: Mapping[str, Any]) -> Any:  # noqa: ANN401  any JSON value
    kind = column.get("type")
    if kind == "array":
        return [_sample(column.get("items", {}))]
    if kind == "object":
        return {name: _sample(part) for name, part in column.get("properties", {}).items()}
    if kind == "map":
        return {"a": _sample(column.get("values", {}))}
    return _SAMPLES.get(str(kind), "a")


def _tensor(spec: Mapping[str, Any]) -> Any:  # noqa: ANN401  nested lists
    shape = tuple(max(int(size), 1) if size != -1 else 1 for size in spec.get("shape", (1,)))
    dtype = str(spec.get("dtype", "float64"))
    if dtype in {"str", "object", "string"} or dtype.startswith(("U", "<U", "S")):
        return np.full(shape, "a", dtype=object).tolist()
    return np.zeros(shape, dtype=dtype).tolist()


def _zeros(spec: TensorSpec) -> np.ndarray[Any, Any]:
    shape = tuple(max(size, 1) for size in spec.shape)
    dtype = OIP_TO_NUMPY.get(spec.datatype)
    return np.full(shape, "a", dtype=object) if dtype is None else np.zeros(shape, dtype)
