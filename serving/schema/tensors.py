"""Tensor signatures, and the graph inputs of models that have no signature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.schema.form import FIRST_INPUT, missing, unknown
from serving.schema.kinds import Element, kinds_of
from serving.schema.shapes import describe, fits, unnest
from serving.values import UNNAMED, Array, Arrays, Inputs, TensorSpec, rows_of
from stagedoor.errors import BodyTooLarge, SchemaMismatch


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a signature; `name` is UNNAMED where it has none, -1 in `shape` is any size."""

    name: str
    element: Element
    shape: tuple[int, ...]
    label: str = field(init=False)
    """The name for people."""
    _row: tuple[int, ...] | None = field(init=False, repr=False)
    """The shape of a row, where there may be any number of them and nothing else is open."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.name or FIRST_INPUT)
        is_plain = self.shape[:1] == (-1,) and -1 not in self.shape[1:]
        object.__setattr__(self, "_row", self.shape[1:] if is_plain else None)

    def from_json(self, data: object, max_rows: int) -> Array:
        """Nested lists of exactly this shape."""
        shape, flat = unnest(data, self.label, max_rows)
        if not flat or shape[1:] != self._row:
            self._check(shape)
        return self.element.from_list(flat, self.label).reshape(shape)

    def from_rows(self, values: Sequence[Any], max_rows: int) -> Array:
        """One value for each row: of this shape, or (as in MLflow's tables) flat lists that are reshaped to it."""
        shape, flat = unnest(list(values), self.label, max_rows)
        return self.element.from_list(flat, self.label).reshape(self._reshaped(shape))

    def from_array(self, array: Array, max_rows: int) -> Array:
        """A typed array of this shape, or 1-d where it is [-1, 1]."""
        if rows_of(array) > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        return self.element.from_array(array, self.label).reshape(self._reshaped(array.shape))

    def _reshaped(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if fits(shape, self.shape) and 0 not in shape:
            return shape
        rest = self.shape[1:]
        if self.shape[:1] == (-1,) and -1 not in rest and len(shape) in (1, 2) and 0 not in shape:
            width = shape[1] if len(shape) == 2 else 1  # noqa: PLR2004  rows of flat lists
            if width == int(np.prod(rest, dtype=np.int64)):
                return (shape[0], *rest)
        self._check(shape)
        return shape

    def _check(self, shape: tuple[int, ...]) -> None:
        if not fits(shape, self.shape):
            raise SchemaMismatch(self.label, describe(self.shape), describe(shape))
        if 0 in shape:
            raise SchemaMismatch(self.label, "at least one value", "none")


@dataclass(frozen=True, slots=True)
class Tensors:
    """A compiled tensor signature."""

    tensors_of: tuple[Tensor, ...]
    names: list[str] = field(init=False)
    _only: Tensor | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", [tensor.name for tensor in self.tensors_of])
        object.__setattr__(self, "_only", self.tensors_of[0] if len(self.tensors_of) == 1 else None)

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """As the signature writes them."""
        return tuple(TensorSpec(t.label, t.element.datatype, t.shape) for t in self.tensors_of)

    def split(self, names: Sequence[str] | None, rows: list[Any], max_rows: int) -> Inputs:
        """A table: the columns of one unnamed tensor, or a column for each tensor."""
        only = self._only
        if len(rows) > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        if not rows or any(type(row) is not list for row in rows):
            raise SchemaMismatch("rows", "at least one list of values", kinds_of(rows) or "none")
        width = len(rows[0]) if names is None else len(names)
        if any(len(row) != width for row in rows):
            raise SchemaMismatch("rows", f"{width} values in each", "another number of values")
        if only is not None and only.name == UNNAMED:
            values = [row[0] for row in rows] if width == 1 else rows
            return self._one(only, only.from_rows(values, max_rows))
        if names is None:
            return self.nested(rows, max_rows)
        return self._of_rows(dict(zip(names, zip(*rows, strict=True), strict=True)), names, max_rows)

    def records(self, rows: list[Any], max_rows: int) -> Inputs:
        """Rows as objects of tensor names to values of one row."""
        if len(rows) > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        if not rows or any(type(row) is not dict for row in rows):
            raise SchemaMismatch("rows", "at least one object of names to values", kinds_of(rows) or "none")
        names = list(rows[0])
        if any(row.keys() != rows[0].keys() for row in rows):
            raise SchemaMismatch("rows", "the same names in each", "others")
        if self.names == [UNNAMED]:
            return self.split(names, [list(map(row.__getitem__, names)) for row in rows], max_rows)
        return self._of_rows({name: [row[name] for row in rows] for name in names}, names, max_rows)

    def named(self, values: Mapping[str, Any], max_rows: int) -> Inputs:
        """Nested lists for each tensor."""
        self._check_names(list(values))
        return self._many({t.name: t.from_json(values[t.name], max_rows) for t in self.tensors_of})

    def nested(self, data: object, max_rows: int) -> Inputs:
        """The nested lists of the one tensor."""
        only = self._only
        if only is not None and type(data) is list and not (data and type(data[0]) is dict):
            array = only.from_json(data, max_rows)
            return Inputs("tensors", {only.name: array}, array.shape[0] if array.shape else 1)
        if type(data) is dict:
            return self.named(data, max_rows)
        if type(data) is list and data and type(data[0]) is dict:
            return self.records(data, max_rows)
        if only is not None:
            return self._one(only, only.from_json(data, max_rows))
        raise SchemaMismatch("inputs", f"an object with {', '.join(self.names)}", "no names")

    def tensors(self, arrays: Arrays, max_rows: int) -> Inputs:
        """Typed tensors by name; an unnamed one takes the only tensor there is, whatever its name."""
        if self.names == [UNNAMED] and len(arrays) == 1:
            arrays = {UNNAMED: next(iter(arrays.values()))}
        self._check_names(list(arrays))
        return self._many({t.name: t.from_array(arrays[t.name], max_rows) for t in self.tensors_of})

    def frame(self, columns: Arrays, max_rows: int) -> Inputs:
        """Typed columns: the columns of one unnamed tensor, or a column for each tensor."""
        names = list(columns)
        return self.split(names, [list(row) for row in zip(*(c.tolist() for c in columns.values()), strict=True)], max_rows)

    def _of_rows(self, values: Mapping[str, Sequence[Any]], names: Sequence[str], max_rows: int) -> Inputs:
        self._check_names(names)
        return self._many({t.name: t.from_rows(values[t.name], max_rows) for t in self.tensors_of})

    def _one(self, tensor: Tensor, array: Array) -> Inputs:
        return Inputs("tensors", {tensor.name: array}, array.shape[0] if array.shape else 1)

    def _many(self, arrays: dict[str, Array]) -> Inputs:
        return Inputs("tensors", arrays, rows_of(next(iter(arrays.values()))))

    def _check_names(self, names: Sequence[Any]) -> None:
        if names == self.names:
            return
        sent = set(names)
        if not sent <= set(self.names):
            raise unknown(names, [tensor.label for tensor in self.tensors_of], "input")
        if len(sent) != len(names):
            raise SchemaMismatch("inputs", "each name once", "a name twice")
        for tensor in self.tensors_of:
            if tensor.name not in sent:
                raise missing(tensor.label, "input")
