"""What a pyfunc answered, as Outputs. Follows what MLflow's scoring server makes of each kind of answer."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from serving.values import UNNAMED, Array, Outputs

_SCALARS: Final = (bool, int, float, str, np.generic)
_AS_THEY_ARE: Final = frozenset("fiubO")
_MAX_NESTING: Final = 32


def to_outputs(answer: Any) -> Outputs:  # noqa: ANN401  a model may answer anything
    """Arrays where the answer is made of arrays, else something JSON can hold. Raises TypeError if it is neither."""
    if isinstance(answer, np.ndarray):
        return Outputs.of_array(answer)
    if isinstance(answer, Mapping):
        return _of_mapping(answer)
    if isinstance(answer, list | tuple):
        array = _as_array(answer)
        return Outputs("json", value=jsonable(answer)) if array is None else Outputs.of_array(array)
    return _of_frame(answer)


def _of_frame(answer: Any) -> Outputs:  # noqa: ANN401  the same
    if _is_pandas(answer, "DataFrame"):
        return Outputs("table", {str(name): _values(column) for name, column in answer.items()})
    if _is_pandas(answer, "Series"):
        name = "0" if answer.name is None else str(answer.name)
        return Outputs("table", {name: _values(answer)})
    if hasattr(answer, "toarray"):  # scipy's sparse matrices
        return Outputs.of_array(answer.toarray())
    if hasattr(answer, "__array__") and not isinstance(answer, np.generic):
        return Outputs.of_array(np.asarray(answer))
    return Outputs("json", value=jsonable(answer))


def jsonable(value: Any, depth: int = 0) -> Any:  # noqa: ANN401  any JSON value
    """`value` in JSON's own types. Raises TypeError for what JSON has no form for."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth > _MAX_NESTING:
        raise TypeError("the answer is nested too deeply")
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist(), depth + 1)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item, depth + 1) for item in value]
    return _jsonable_object(value, depth)


def _jsonable_object(value: Any, depth: int) -> Any:  # noqa: ANN401  any JSON value
    if hasattr(value, "model_dump"):  # pydantic
        return jsonable(value.model_dump(mode="json"), depth + 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return jsonable(dataclasses.asdict(value), depth + 1)
    if _is_pandas(value, "DataFrame"):
        return jsonable(value.to_dict(orient="records"), depth + 1)
    if hasattr(value, "isoformat"):  # dates, times and pandas' Timestamp
        return value.isoformat()
    if hasattr(value, "tolist"):  # Series, Index
        return jsonable(value.tolist(), depth + 1)
    raise TypeError(f"the answer holds a {type(value).__name__}, which JSON has no form for")


def _of_mapping(answer: Mapping[Any, Any]) -> Outputs:
    arrays: dict[str, Array] = {}
    for name, item in answer.items():
        array = item if isinstance(item, np.ndarray) else _as_array(item) if isinstance(item, list | tuple) else None
        if array is None:
            return Outputs("json", value=jsonable(answer))
        arrays[str(name) if name is not None else UNNAMED] = array
    return Outputs("named", arrays) if arrays else Outputs("json", value={})


def _as_array(items: Iterable[Any]) -> Array | None:
    """Rows of one kind of scalar as an array; None where that would change or merge anything."""
    rows = list(items)
    if not rows:
        return None
    if all(isinstance(row, np.ndarray) for row in rows):
        same = all(row.shape == rows[0].shape and row.dtype == rows[0].dtype for row in rows)
        return np.stack(rows) if same else None
    flat = rows
    if all(isinstance(row, list | tuple) and len(row) == len(rows[0]) for row in rows):
        flat = [item for row in rows for item in row]
    kinds = {type(item) for item in flat}
    if len(kinds) != 1 or not issubclass(next(iter(kinds)), _SCALARS):
        return None
    if issubclass(next(iter(kinds)), str):
        return np.array(rows, dtype=object)
    array = np.array(rows)
    return None if array.dtype == object else array


def _values(column: Any) -> Array:  # noqa: ANN401  a pandas Series
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in _AS_THEY_ARE:
        values: Array = column.values
        return values
    array = column.to_numpy()
    return array if isinstance(array, np.ndarray) else np.asarray(array, dtype=object)


def _is_pandas(value: object, kind: str) -> bool:
    """Whether `value` is pandas' `kind`, told without importing pandas for models that do without it."""
    return any(base.__name__ == kind and base.__module__.split(".")[0] == "pandas" for base in type(value).__mro__)
