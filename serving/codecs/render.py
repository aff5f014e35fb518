"""Model answers as JSON: the same values that MLflow's scoring server writes.

float32 is widened first, so that a reader of doubles gets exactly what the model computed.
"""

import base64
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson

from serving.values import Array, Arrays
from stagedoor.errors import InvalidOutput

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_FAST_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
_DOUBLE: Final = 8
_FEW: Final = 24
"""So many numbers are sooner made Python's own than handed over as an array."""


def dump(value: Mapping[str, Any]) -> bytes:
    """The JSON of an answer. Raises InvalidOutput for what JSON cannot say."""
    try:
        return orjson.dumps(value, default=_plain, option=_FAST_OPTIONS)
    except TypeError:
        pass
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError as error:
        raise InvalidOutput("it holds values that JSON cannot say").because_of(error) from error


def jsonable(array: Array) -> Any:  # noqa: ANN401  a JSON value
    """What `dump` writes as the nested lists of `array`."""
    kind = array.dtype.kind
    if kind in "fiub" and array.size <= _FEW and array.itemsize <= _DOUBLE:
        return array.tolist()
    if array.ndim == 0:
        return plain_list(array.reshape(1))[0]
    if kind == "f":
        return np.ascontiguousarray(array, np.float64)
    if kind in "iub":
        return np.ascontiguousarray(array)
    if array.ndim == 1:
        return plain_list(array)
    return [jsonable(part) for part in array]


def plain_list(array: Array) -> list[Any]:
    """A 1-d array as Python values; times as ISO 8601."""
    if array.dtype.kind == "M":
        return [None if np.isnat(moment) else _iso(moment) for moment in array]
    if array.dtype.kind == "c":
        raise InvalidOutput("it holds complex numbers, which JSON cannot say")
    values: list[Any] = array.tolist()
    return values


def records(columns: Arrays) -> list[dict[str, Any]]:
    """Columns of one length as one object for each row."""
    names = list(columns)
    rows = zip(*(plain_list(column) for column in columns.values()), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _iso(moment: np.datetime64) -> str:
    whole: object = moment.astype("datetime64[us]").item()
    return whole.isoformat() if isinstance(whole, dt.datetime) else str(moment)


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return jsonable(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bytes, bytearray)):
        return base64.encodebytes(value).decode("ascii")
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    raise TypeError
