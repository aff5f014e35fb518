"""Strings, bytes and times."""

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from serving.schema.kinds import NULL, kind_of, kinds_of, objects, strings
from serving.values import Array
from stagedoor.errors import SchemaMismatch

_DATETIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?", re.ASCII)
_DATETIME_YEARS: Final = ("1678", "2261")  # what 64 bits of nanoseconds can hold in full


@dataclass(frozen=True, slots=True)
class Text:
    """Strings: object arrays that may hold None in a table, numpy's own string type in a tensor."""

    name: str = "string"
    nullable: bool = True

    @property
    def datatype(self) -> str:
        """The Open Inference Protocol's name."""
        return "BYTES"

    def from_list(self, values: Sequence[Any], field: str) -> Array:
        """Strings stay, bytes (of a binary tensor) are read as UTF-8."""
        texts = list(values)
        if bytes in map(type, texts):
            texts = [_utf8(value, field) for value in texts]
        allowed = {str, NULL} if self.nullable else {str}
        if not allowed.issuperset(map(type, texts)):
            raise SchemaMismatch(field, self.name, kinds_of(value for value in texts if type(value) not in allowed))
        return objects(texts) if self.nullable else strings(texts)

    def from_array(self, array: Array, field: str) -> Array:
        """From arrays of strings, bytes or objects."""
        if array.dtype.kind not in "OUS":
            raise SchemaMismatch(field, self.name, array.dtype.name)
        return self.from_list(array.ravel().tolist(), field).reshape(array.shape)


def _utf8(value: object, field: str) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise SchemaMismatch(field, "UTF-8 text", "bytes that are not") from None


@dataclass(frozen=True, slots=True)
class Binary:
    """Bytes; JSON brings them in Base64, as MLflow's scoring protocol does."""

    name: str = "binary"

    @property
    def datatype(self) -> str:
        """The Open Inference Protocol's name."""
        return "BYTES"

    def from_list(self, values: Sequence[Any], field: str) -> Array:
        """Bytes stay, strings are read as Base64 (line breaks are ignored)."""
        return objects([self._decoded(value, field) for value in values])

    def from_array(self, array: Array, field: str) -> Array:
        """From arrays of strings, bytes or objects."""
        if array.dtype.kind not in "OUS":
            raise SchemaMismatch(field, self.name, array.dtype.name)
        return self.from_list(array.ravel().tolist(), field).reshape(array.shape)

    def _decoded(self, value: object, field: str) -> bytes:
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise SchemaMismatch(field, "Base64 text", kind_of(value))
        try:
            return binascii.a2b_base64(value.replace("\n", "").encode("ascii"), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError):
            raise SchemaMismatch(field, "Base64 text", "a string that is not") from None


@dataclass(frozen=True, slots=True)
class Datetime:
    """Times without a zone, to the nanosecond; JSON brings ISO 8601 strings, null is NaT."""

    name: str = "datetime"

    @property
    def datatype(self) -> str:
        """The Open Inference Protocol's name."""
        return "BYTES"

    def from_list(self, values: Sequence[Any], field: str) -> Array:
        """Strings such as `2026-01-31`, `2026-01-31T09:30` and `2026-01-31 09:30:00.5`."""
        return np.array([self._checked(value, field) for value in values], "datetime64[ns]")

    def from_array(self, array: Array, field: str) -> Array:
        """From arrays of datetime64, strings or objects."""
        if array.dtype.kind == "M":
            return array.astype("datetime64[ns]", copy=False)
        if array.dtype.kind not in "OUS":
            raise SchemaMismatch(field, self.name, array.dtype.name)
        return self.from_list(array.ravel().tolist(), field).reshape(array.shape)

    def _checked(self, value: object, field: str) -> np.datetime64 | None:
        text = _utf8(value, field)
        if text is None:
            return None
        if not isinstance(text, str):
            raise SchemaMismatch(field, "an ISO 8601 datetime", kind_of(text))
        low, high = _DATETIME_YEARS
        if not _DATETIME.fullmatch(text) or not low <= text[:4] <= high:
            raise SchemaMismatch(field, "an ISO 8601 datetime without a zone", "a string that is not")
        try:
            return np.datetime64(text, "ns")
        except ValueError:  # the 31st of February
            raise SchemaMismatch(field, "an ISO 8601 datetime without a zone", "a day or hour that does not exist") from None
