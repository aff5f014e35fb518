"""Column signatures: converters held in tuples, and one matrix instead of columns where all are of one number type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.schema.form import FIRST_INPUT, missing, unknown
from serving.schema.kinds import Element, kind_of, kinds_of
from serving.schema.nested import Nested
from serving.schema.numeric import Number
from serving.schema.shapes import describe
from serving.values import Array, Arrays, Block, Inputs, TensorSpec
from stagedoor.errors import BodyTooLarge, SchemaMismatch


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a signature."""

    name: str
    element: Element
    required: bool

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name or FIRST_INPUT


@dataclass(frozen=True, slots=True)
class Table:
    """A compiled column signature. `named` is False where the signature gives no names; then only places count."""

    columns: tuple[Column, ...]
    named_columns: bool = True
    names: list[str] = field(init=False)
    positions: Mapping[str, int] = field(init=False)
    uniform: Number | None = field(init=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        elements = {column.element for column in self.columns}
        only = next(iter(elements)) if len(elements) == 1 and all(c.required for c in self.columns) else None
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "positions", {name: place for place, name in enumerate(names)})
        object.__setattr__(self, "uniform", only if isinstance(only, Number) else None)

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """One tensor of shape [-1] for each column."""
        return tuple(TensorSpec(column.label, column.element.datatype, (-1,)) for column in self.columns)

    def split(self, names: Sequence[str] | None, rows: list[Any], max_rows: int) -> Inputs:
        """Rows as lists; in the signature's order they are converted at once."""
        if len(rows) > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        if not {list}.issuperset(map(type, rows)):
            raise SchemaMismatch("rows", "lists of values", kinds_of(row for row in rows if type(row) is not list))
        width = len(self.names) if names is None else len(names)
        if not {width}.issuperset(map(len, rows)):
            raise SchemaMismatch("rows", f"{width} values in each", "another number of values")
        if not rows:
            raise SchemaMismatch("rows", "at least one row", "none")
        if names is None or not self.named_columns or names == self.names:
            if width != len(self.names):
                raise SchemaMismatch("columns", f"{len(self.names)} columns", f"{width}")
            return self._in_order(rows)
        self._check_names(names)
        values = dict(zip(names, zip(*rows, strict=True), strict=True))
        return self._of_lists(values, len(rows))

    def records(self, rows: list[Any], max_rows: int) -> Inputs:
        """Rows as objects; an optional column that only some rows have is null in the others."""
        if len(rows) > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        if not rows:
            raise SchemaMismatch("rows", "at least one row", "none")
        if not {dict}.issuperset(map(type, rows)):
            raise SchemaMismatch("rows", "objects of column names to values", kinds_of(rows))
        for row in rows:
            if not row.keys() <= self.positions.keys():
                raise unknown(row, self.names, "column")
        try:
            if self.uniform is not None:
                return self._in_order([[row[name] for name in self.names] for row in rows])
            present = [c for c in self.columns if c.required or any(c.name in row for row in rows)]
            values = {
                c.name: [row[c.name] for row in rows] if c.required else [row.get(c.name) for row in rows] for c in present
            }
        except KeyError as error:
            raise missing(str(error.args[0]), "column") from None
        return self._of_lists(values, len(rows))

    def named(self, values: Mapping[str, Any], max_rows: int) -> Inputs:
        """Columns by name. All scalars, or a signature with lists or objects as values: it is one row."""
        if not self.named_columns:
            raise SchemaMismatch("inputs", "a list, since the signature names no columns", "object")
        self._check_names(list(values))
        one_row = any(isinstance(column.element, Nested) and column.element.name != "map" for column in self.columns)
        if one_row or not any(type(value) is list for value in values.values()):
            return self._of_lists({name: [value] for name, value in values.items()}, 1)
        for name, value in values.items():
            if type(value) is not list:
                raise SchemaMismatch(name, "a list, as the other columns have", kind_of(value))
            if len(value) > max_rows:
                raise BodyTooLarge(max_rows, "rows")
        rows = self._common_length(values)
        return self._of_lists({name: _unwrapped(value) for name, value in values.items()}, rows)

    def nested(self, data: object, max_rows: int) -> Inputs:
        """Records, rows in the signature's order, or the values of the only column."""
        if type(data) is dict:
            return self.named(data, max_rows)
        rows = data if type(data) is list else [data]
        if rows and type(rows[0]) is dict and self.named_columns:
            return self.records(rows, max_rows)
        if len(self.columns) == 1:
            return self._only_column(rows, max_rows)
        if rows and type(rows[0]) is not list:
            raise SchemaMismatch("rows", f"lists of {len(self.names)} values", kind_of(rows[0]))
        return self.split(None, rows, max_rows)

    def tensors(self, arrays: Arrays, max_rows: int) -> Inputs:
        """One tensor of shape [n] or [n, 1] for each column, or one matrix of all columns in order."""
        only = next(iter(arrays.values()), None)
        if only is not None and len(arrays) == 1 and only.ndim == 2 and self.uniform is not None:  # noqa: PLR2004  a matrix
            return self._of_matrix(only, max_rows)
        if not self.named_columns and len(arrays) == len(self.columns):
            arrays = dict(zip(self.names, arrays.values(), strict=True))
        flat: dict[str, Array] = {}
        for name, array in arrays.items():
            if name in self.positions and (array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] != 1)):  # noqa: PLR2004
                raise SchemaMismatch(name, "shape [n] or [n, 1]", describe(array.shape))
            flat[name] = array.reshape(-1)
        return self.frame(flat, max_rows)

    def frame(self, columns: Arrays, max_rows: int) -> Inputs:
        """Typed columns by name."""
        if not self.named_columns and len(columns) == len(self.columns):
            columns = dict(zip(self.names, columns.values(), strict=True))
        self._check_names(list(columns))
        rows = self._common_length(columns)
        if rows > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        arrays = {c.name: c.element.from_array(columns[c.name], c.label) for c in self.columns if c.name in columns}
        return self._inputs(arrays, rows)

    def _in_order(self, rows: list[Any]) -> Inputs:
        element = self.uniform
        if element is None:
            return self._of_lists(dict(zip(self.names, zip(*rows, strict=True), strict=True)), len(rows))
        flat = rows[0] if len(rows) == 1 else [value for row in rows for value in row]
        try:
            matrix = element.from_list(flat, "columns").reshape(len(rows), len(self.names))
        except SchemaMismatch:  # find out which column it is
            return self._of_lists(dict(zip(self.names, zip(*rows, strict=True), strict=True)), len(rows))
        return Inputs("table", Block(matrix, self.positions), len(rows))

    def _of_lists(self, values: Mapping[str, Sequence[Any]], rows: int) -> Inputs:
        arrays = {c.name: c.element.from_list(values[c.name], c.label) for c in self.columns if c.name in values}
        return self._inputs(arrays, rows)

    def _inputs(self, arrays: dict[str, Array], rows: int) -> Inputs:
        if not arrays:
            raise SchemaMismatch("columns", "at least one column", "none")
        if self.uniform is None:
            return Inputs("table", arrays, rows)
        return Inputs("table", Block(np.stack(tuple(arrays.values()), axis=1), self.positions), rows)

    def _only_column(self, rows: list[Any], max_rows: int) -> Inputs:
        if len(rows) > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        if not rows:
            raise SchemaMismatch("rows", "at least one row", "none")
        name, element = self.names[0], self.columns[0].element
        if isinstance(element, Nested):
            values = rows if type(rows[0]) in (list, dict) else [rows]
            return self._of_lists({name: values}, len(values))
        return self._of_lists({name: _unwrapped(rows)}, len(rows))

    def _of_matrix(self, matrix: Array, max_rows: int) -> Inputs:
        rows, width = matrix.shape
        if width != len(self.names):
            raise SchemaMismatch("inputs", describe((-1, len(self.names))), describe(matrix.shape))
        if rows > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        assert self.uniform is not None  # noqa: S101  the caller looked
        return Inputs("table", Block(self.uniform.from_array(matrix, "inputs"), self.positions), rows)

    def _check_names(self, names: Sequence[Any]) -> None:
        sent = set(names)
        if not sent <= self.positions.keys():
            raise unknown(names, self.names, "column")
        if len(sent) != len(names):
            raise SchemaMismatch("columns", "each name once", "a name twice")
        for column in self.columns:
            if column.required and column.name not in sent:
                raise missing(column.label, "column")

    def _common_length(self, values: Mapping[str, Any]) -> int:
        lengths = {len(value) for value in values.values()}
        if len(lengths) > 1:
            raise SchemaMismatch("columns", "one length for all", "several")
        if lengths in (set(), {0}):
            raise SchemaMismatch("rows", "at least one row", "none")
        return lengths.pop()


def _unwrapped(values: list[Any]) -> list[Any]:
    """A column written as a list of one-element lists, shape [n, 1], as its values."""
    if values and all(type(value) is list and len(value) == 1 for value in values):
        return [value[0] for value in values]
    return values
