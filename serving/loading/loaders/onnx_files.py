"""Which other files an ONNX file draws its weights from, read off the protobuf bytes without the `onnx` package.

ONNX Runtime resolves these names relative to the model; older releases follow `../`, and a reserved name makes some read
raw memory addresses. So every name is checked before a session sees the file.
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (field numbers), protobuf's wire format.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from serving.loading.mlmodel import inside
from stagedoor.errors import LoadFailed, MissingArtifact, UnsafeArtifact

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH: Final = 64
_MAX_VARINT_BITS: Final = 63

# Message -> field number -> message of that field; only those that can lead to a tensor.
_CHILDREN: Final = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

Span = tuple[int, int]


def check_external_data(path: Path, folder: Path) -> None:
    """Raise unless every external file that the ONNX file at `path` names lies in `folder` and exists.

    UnsafeArtifact for a name that leads out, MissingArtifact for an absent file, LoadFailed if it is no ONNX file.
    """
    if path.stat().st_size == 0:
        raise LoadFailed("The ONNX file is empty. Log the model again.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for location in sorted(set(_locations(data))):
            _check(location, path, folder)


def _check(location: str, path: Path, folder: Path) -> None:
    target = inside(path.parent, location)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise UnsafeArtifact("External data of the ONNX model lies outside its folder. Log the model again.")
    if not target.is_file():
        raise MissingArtifact("External data that the ONNX file names is not among the model's files. Log the model again.")


def _locations(data: mmap.mmap) -> Iterator[str]:
    """The `location` of every tensor's external data."""
    stack: list[tuple[str, Span, int]] = [("model", (0, len(data)), 0)]
    while stack:
        message, span, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise LoadFailed("The ONNX file is nested too deeply to be checked.")
        if message == "entry":
            yield from _location(data, span)
            continue
        children = _CHILDREN[message]
        for field, value in _fields(data, span):
            child = children.get(field)
            if child is not None and value is not None:
                stack.append((child, value, depth + 1))


def _location(data: mmap.mmap, span: Span) -> Iterator[str]:
    key, value = b"", b""
    for field, part in _fields(data, span):
        if part is not None and field == _ENTRY_KEY:
            key = data[part[0] : part[1]]
        elif part is not None and field == _ENTRY_VALUE:
            value = data[part[0] : part[1]]
    if key == b"location":
        try:
            yield value.decode("utf-8")
        except UnicodeDecodeError:
            raise UnsafeArtifact("External data of the ONNX model has an unreadable name. Log the model again.") from None


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, Span | None]]:
    """Number and, for length-delimited ones, place of each field of the message at `span`."""
    at, end = span
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == _BYTES:
            length, at = _varint(data, at, end)
            if length > end - at:
                raise _garbled()
            yield tag >> 3, (at, at + length)
            at += length
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            raise _garbled()
    if at != end:
        raise _garbled()


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift <= _MAX_VARINT_BITS:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004  the continuation bit
            return value, at
        shift += 7
    raise _garbled()


def _garbled() -> LoadFailed:
    return LoadFailed("The ONNX file is damaged or not ONNX at all. Log the model again.")
