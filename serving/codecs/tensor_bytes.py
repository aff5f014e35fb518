"""Tensors of the Open Inference Protocol as Python values and as raw bytes.

Binary tensors are views of the body they came in, which nobody can write to, and go out as views of the model's arrays.
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
_WIRE_DTYPES: Final = {datatype: dtype.newbyteorder("<") for datatype, dtype in OIP_TO_NUMPY.items()}
_BF16: Final = np.dtype("<u2")


def from_values(values: list[Any], datatype: str, name: str) -> Array:
    """JSON values as a 1-d array. Raises SchemaMismatch unless each one is of `datatype`."""
    if datatype == "BYTES":
        if any(type(value) is not str for value in values):
            raise SchemaMismatch(name, "strings (BYTES)", kinds_of(value for value in values if type(value) is not str))
        return objects(values)
    return tensor_element(OIP_TO_NUMPY.get(datatype, np.dtype(np.float32))).from_list(values, name)


def from_bytes(raw: memoryview, datatype: str, count: int, name: str) -> Array:
    """Raw little-endian bytes as a 1-d array of `count` elements. Raises SchemaMismatch where the sizes do not agree.

    A view of `raw` where that has numpy's own form: not BF16 and BYTES, and lying where the processor reads such numbers. A
    JSON part whose length is a multiple of the elements' size, padded with blanks, puts them there.
    """
    if datatype == "BYTES":
        return _strings(raw, count, name)
    dtype = _WIRE_DTYPES.get(datatype, _BF16)
    if len(raw) != count * dtype.itemsize:
        raise SchemaMismatch(name, f"{count * dtype.itemsize} bytes", f"{len(raw)}")
    if datatype == "BF16":  # the upper half of a float32
        return (np.frombuffer(raw, _BF16).astype(np.uint32) << 16).view(np.float32)
    if datatype == "BOOL":
        octets = np.frombuffer(raw, np.uint8)
        return octets.view(np.bool_) if octets.max(initial=0) <= 1 else octets.astype(np.bool_)
    array: Array = np.frombuffer(raw, dtype)
    return array.astype(dtype.newbyteorder("="), copy=not array.flags.aligned)


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


def to_bytes(array: Array) -> bytes | memoryview:
    """The raw little-endian bytes of an output; of numbers a view."""
    if array.dtype.kind in "iubf":
        flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
        return flat.view(np.uint8).data
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
