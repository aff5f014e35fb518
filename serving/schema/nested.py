"""Columns whose values are lists and objects: MLflow's Array, Object, Map and AnyType, compiled to one check per value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.schema.elements import COLUMN_TYPES, Anything
from serving.schema.kinds import Element, kind_of, objects
from serving.values import Array
from stagedoor.errors import LoadFailed, SchemaMismatch

Check = Callable[[Any, bool, str], Any]
"""(value, whether it is required, its path) -> the value with every leaf converted."""


@dataclass(frozen=True, slots=True)
class Nested:
    """The element of a column of lists or objects."""

    name: str
    check: Check
    required: bool

    @property
    def datatype(self) -> str:
        """The Open Inference Protocol's name; elements travel as JSON text."""
        return "BYTES"

    def from_list(self, values: Sequence[Any], field: str) -> Array:
        """An object array of checked values."""
        return objects([self.check(value, self.required, field) for value in values])

    def from_array(self, array: Array, field: str) -> Array:
        """From an object array, such as a Parquet column of lists."""
        if array.dtype.kind != "O":
            raise SchemaMismatch(field, self.name, array.dtype.name)
        return self.from_list(array.tolist(), field)


def compile_element(spec: Mapping[str, Any], *, required: bool) -> Element:
    """The element of a column spec or of a part of one. Raises LoadFailed for a type that MLflow does not have."""
    kind = spec.get("type")
    if isinstance(kind, str) and kind in COLUMN_TYPES:
        return COLUMN_TYPES[kind]
    if kind == "any":
        return Anything()
    return Nested(str(kind), _compile(spec), required)


def _compile(spec: Mapping[str, Any]) -> Check:
    kind = spec.get("type")
    if kind == "array":
        return _array(spec["items"])
    if kind == "sparkml vector":
        return _array({"type": "double"})
    if kind == "object":
        return _object(spec["properties"])
    if kind == "map":
        return _map(spec["values"])
    if kind == "any":
        return lambda value, _required, _field: value
    if isinstance(kind, str) and kind in COLUMN_TYPES:
        return _leaf(COLUMN_TYPES[kind])
    raise LoadFailed("The signature has a column type that this gateway does not know. Log the model with a current MLflow.")


def _leaf(element: Element) -> Check:
    def check(value: Any, required: bool, field: str) -> Any:  # noqa: ANN401, FBT001  a JSON value
        if value is None:
            if required:
                raise SchemaMismatch(field, element.name, "null")
            return None
        return element.from_list([value], field)[0]

    return check


def _array(items: Mapping[str, Any]) -> Check:
    leaf = COLUMN_TYPES.get(str(items.get("type")))
    inner = _compile(items)
    lenient = items.get("type") == "any"

    def check(value: Any, required: bool, field: str) -> Any:  # noqa: ANN401, FBT001  a JSON value
        if value is None and (lenient or not required):
            return None
        values = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(values, list):
            raise SchemaMismatch(field, "array", kind_of(value))
        path = f"{field}[]"
        if leaf is not None:
            return leaf.from_list(values, path).tolist()
        return [inner(item, required, path) for item in values]

    return check


def _object(properties: Mapping[str, Mapping[str, Any]]) -> Check:
    parts = {name: (_compile(spec), bool(spec.get("required", True))) for name, spec in properties.items()}
    needed = frozenset(name for name, (_, required) in parts.items() if required)

    def check(value: Any, required: bool, field: str) -> Any:  # noqa: ANN401, FBT001  a JSON value
        if not required and (value is None or value == {}):
            return value
        if not isinstance(value, dict):
            raise SchemaMismatch(field, "object", kind_of(value))
        if missing := needed - value.keys():
            raise SchemaMismatch(f"{field}.{min(missing)}", "a value", "nothing")
        if not value.keys() <= parts.keys():
            raise SchemaMismatch(field, f"only the properties {', '.join(parts)}", "an unknown property")
        return {name: parts[name][0](item, parts[name][1], f"{field}.{name}") for name, item in value.items()}

    return check


def _map(values: Mapping[str, Any]) -> Check:
    inner = _compile(values)
    lenient = values.get("type") == "any"

    def check(value: Any, required: bool, field: str) -> Any:  # noqa: ANN401, FBT001  a JSON value
        if (lenient or not required) and (value is None or value == {}):
            return value
        if not isinstance(value, dict):
            raise SchemaMismatch(field, "object", kind_of(value))
        return {key: inner(item, required, f"{field}.*") for key, item in value.items()}

    return check
