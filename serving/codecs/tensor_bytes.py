"""Tensors of the Open Inference Protocol as Python values and as raw bytes.

https://github.com/open-inference/open-inference-protocol and Triton's binary tensor data extension.
"""

import struct
from typing import Any, Final

import numpy as np
import orjson

from serving.codecs.render import jsonable, plain_list
from serving.schema.elements import tensor_element
from serving.schema.kinds import kinds_of, natural, objects
from serving.values import OIP_TO_NUMPY, Array
from stagedoor.errors import SchemaMismatch

DATATYPES: Final = (*OIP_TO_NUMPY, "BF16", "BYTES")
_LENGTH: Final = struct.Struct("<I")


def from_values(values: list[Any], datatype: str, name: str) -> Array:
    """JSON values as a 1-d array. Raises SchemaMismatch unless each one is of `datatype`."""
    if datatype == "BYTES":
        if any(type(value) is not str for value in values):
            raise SchemaMismatch(name, "strings (BYTES)", kinds_of(value for value in values if type(value) is not str))
        return objects(values)
    return tensor_element(OIP_TO_NUMPY.get(datatype, np.dtype(np.float32))).from_list(values, name)


def from_bytes(raw: memoryview, datatype: str, count: int, name: str) -> Array:
    """Raw little-endian bytes as a 1-d array of `count` elements. Raises SchemaMismatch where the sizes do not agree."""
    if datatype == "BYTES":
        return _strings(raw, count, name)
    dtype = OIP_TO_NUMPY.get(datatype, np.dtype("uint16"))
    if len(raw) != count * dtype.itemsize:
        raise SchemaMismatch(name, f"{count * dtype.itemsize} bytes", f"{len(raw)}")
    if datatype == "BF16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if datatype == "BOOL":
        return np.frombuffer(raw, np.uint8).astype(np.bool_)
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype)  # a copy: aligned, and the model may write to it


def _strings(raw: memoryview, count: int, name: str) -> Array:
    values: list[bytes] = []
    place = 0
    while place + _LENGTH.size <= len(raw) and len(values) < count:
        (size,) = _LENGTH.unpack_from(raw, place)
        place += _LENGTH.size
        if place + size > len(raw):
            break
        values.append(bytes(raw[place : place + size]))
        place += size
    if place != len(raw) or len(values) != count:
        raise SchemaMismatch(name, f"{count} strings, each after its length in four bytes", "bytes that do not add up")
    return objects(values)


def numbers_or_strings(array: Array) -> Array:
    """An output as the protocol can carry it: object arrays of numbers become numbers, all else text."""
    if array.dtype.kind != "O":
        return array
    flat = natural(array.ravel().tolist())
    return flat.reshape(array.shape) if flat.dtype.kind != "O" else array


def to_values(array: Array) -> Any:  # noqa: ANN401  a JSON value
    """The flat list of an output in JSON."""
    flat = array.reshape(-1)
    return jsonable(flat) if array.dtype.kind in "iubf" else [_text(value) for value in plain_list(flat)]


def to_bytes(array: Array) -> bytes:
    """The raw little-endian bytes of an output."""
    if array.dtype.kind in "iubf":
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    parts: list[bytes] = []
    for value in plain_list(array.reshape(-1)):
        raw = value if isinstance(value, bytes) else _text(value).encode()
        parts += (_LENGTH.pack(len(raw)), raw)
    return b"".join(parts)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return orjson.dumps(value, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()
