"""The `params` of a signature: inference parameters with a type and a default each, checked as MLflow checks them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.schema.elements import COLUMN_TYPES
from serving.schema.form import unknown
from serving.schema.kinds import Element, kind_of
from serving.schema.nested import Nested, compile_element
from serving.schema.texts import Datetime
from serving.values import NO_PARAMS
from stagedoor.errors import LoadFailed, SchemaMismatch, StagedoorError


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter; `is_list` where its shape is [-1]."""

    name: str
    element: Element
    is_list: bool

    def convert(self, value: object) -> object:
        """The value as the Python object that MLflow passes on. Raises SchemaMismatch."""
        if not self.is_list:
            return self._one(value)
        if type(value) is not list:
            raise SchemaMismatch(f"params.{self.name}", f"a list of {self.element.name}", kind_of(value))
        return [self._one(item) for item in value]

    def _one(self, value: object) -> object:
        if value is None:
            return None
        array = self.element.from_list([value], f"params.{self.name}")
        if isinstance(self.element, Nested):
            return value  # checked, and passed as it came
        if isinstance(self.element, Datetime):
            moment: dt.datetime = array.astype("datetime64[us]")[0].item()
            return moment.date() if len(str(value)) == len("2026-01-31") else moment
        return array.astype(float)[0].item() if array.dtype.kind == "f" and type(value) is int else value


@dataclass(frozen=True, slots=True)
class Params:
    """All parameters of a signature with their defaults."""

    specs: Mapping[str, Param]
    defaults: Mapping[str, Any]

    def check(self, values: object) -> Mapping[str, Any]:
        """Defaults overlaid with `values` (None: none were sent).

        Raises SchemaMismatch for a value of the wrong type and for a name the signature does not have (MLflow only warns).
        """
        if values is None or values == {}:
            return self.defaults
        if not isinstance(values, dict):
            raise SchemaMismatch("params", "an object of names to values", kind_of(values))
        if not values.keys() <= self.specs.keys():
            if not self.specs:
                raise SchemaMismatch("params", "none, since the model's signature has no params", "some")
            raise unknown(values, list(self.specs), "param")
        return {**self.defaults, **{name: self.specs[name].convert(value) for name, value in values.items()}}


def compile_params(specs: Sequence[Mapping[str, Any]] | None) -> Params:
    """From the JSON of a signature. Raises LoadFailed where a default does not fit its own type."""
    params: dict[str, Param] = {}
    defaults: dict[str, Any] = {}
    for spec in specs or ():
        kind = spec.get("type") or spec.get("dtype")
        element = COLUMN_TYPES.get(str(kind)) or compile_element({**spec, "type": kind}, required=True)
        param = Param(str(spec["name"]), element, spec.get("shape") is not None)
        params[param.name] = param
        try:
            defaults[param.name] = param.convert(spec["default"])
        except StagedoorError as error:
            raise LoadFailed(f"The default of the signature's param {param.name} does not fit its type.") from error
    return Params(params, defaults or NO_PARAMS)
