"""Signatures of MLmodel files as values that can be compared. Source: MLflow's `mlflow.types.schema`, its JSON form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Specs = Sequence[Mapping[str, Any]]

_BITS: Final = re.compile(r"(u?int|float)(\d{1,3})")
_MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `kind` is `int`, `uint`, `float`, `bool`, `str`, `bytes` or `datetime`; `bits` is 0 where it has no width."""

    kind: str
    bits: int = 0

    def __str__(self) -> str:
        return f"{self.kind}{self.bits or ''}"


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value at all."""

    def __str__(self) -> str:
        return "anything"


@dataclass(frozen=True, slots=True)
class Many:
    """A list, or a map from texts, of values of one type."""

    form: Literal["array", "map"]
    of: "Type"

    def __str__(self) -> str:
        return f"{self.form} of {self.of}"


@dataclass(frozen=True, slots=True)
class Object:
    """An object with the properties `fields`."""

    fields: tuple["Field", ...]

    def __str__(self) -> str:
        return "object"


Type = Scalar | Anything | Many | Object


@dataclass(frozen=True, slots=True)
class Field:
    """A column, or a property of an object. `name` is None for columns without names."""

    name: str | None
    type: Type
    required: bool = True


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor; -1 in `shape` is any size."""

    name: str | None
    type: Scalar | Anything
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Param:
    """An inference parameter; `is_list` where its shape is [-1]."""

    name: str
    type: Type
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """A signature of columns: a table."""

    items: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Tensors:
    """A signature of tensors."""

    items: tuple[Tensor, ...]


Form = Columns | Tensors | None

_COLUMN_TYPES: Final[Mapping[str, Type]] = {
    "boolean": Scalar("bool"),
    "integer": Scalar("int", 32),
    "long": Scalar("int", 64),
    "float": Scalar("float", 32),
    "double": Scalar("float", 64),
    "string": Scalar("str"),
    "binary": Scalar("bytes"),
    "datetime": Scalar("datetime"),
    "any": Anything(),
    "sparkml vector": Many("array", Scalar("float", 64)),
}


def read_form(specs: Specs | None) -> Form:
    """The columns or tensors of a signature's list; None without one. Raises ValueError for what MLflow does not write."""
    if not specs:
        return None
    try:
        if all(spec["type"] == "tensor" for spec in specs):
            return Tensors(tuple(_tensor(spec) for spec in specs))
        return Columns(tuple(_field(spec.get("name"), spec, 0) for spec in specs))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a signature that MLflow writes") from error


def read_params(specs: Specs | None) -> tuple[Param, ...]:
    """The params of a signature. Raises ValueError for what MLflow cannot write."""
    try:
        return tuple(
            Param(
                str(spec["name"]), _type({**spec, "type": spec.get("type") or spec["dtype"]}, 0), spec.get("shape") is not None
            )
            for spec in specs or ()
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a signature that MLflow writes") from error


def _field(name: object, spec: Mapping[str, Any], depth: int) -> Field:
    return Field(str(name) if name is not None else None, _type(spec, depth), bool(spec.get("required", True)))


def _type(spec: Mapping[str, Any], depth: int) -> Type:
    kind = spec["type"]
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if kind == "array":
        return Many("array", _type(spec["items"], depth + 1))
    if kind == "map":
        return Many("map", _type(spec["values"], depth + 1))
    if kind == "object":
        return Object(tuple(_field(name, part, depth + 1) for name, part in sorted(spec["properties"].items())))
    if kind not in _COLUMN_TYPES:
        raise ValueError("a type that is not known here")
    return _COLUMN_TYPES[kind]


def _tensor(spec: Mapping[str, Any]) -> Tensor:
    info = spec["tensor-spec"]
    name = spec.get("name")
    return Tensor(str(name) if name else None, dtype_of(str(info["dtype"])), tuple(map(int, info["shape"])))


def dtype_of(text: str) -> Scalar | Anything:
    """The type of a tensor's elements from numpy's name of it; objects may be anything."""
    found = _BITS.fullmatch(text)
    if found is not None:
        return Scalar(found[1], int(found[2]))
    if text in {"bool", "bool_", "boolean"}:
        return Scalar("bool")
    if text.startswith(("<U", ">U", "U", "str")):
        return Scalar("str")
    if text.startswith(("|S", "S", "bytes")):
        return Scalar("bytes")
    return Scalar("datetime") if text.startswith(("datetime64", "<M8", "M8")) else Anything()
