"""No signature and nothing in the model file either: data passes as it is, with the types that JSON gives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.schema.kinds import kinds_of, natural, strings
from serving.schema.shapes import unnest
from serving.values import UNNAMED, Array, Arrays, Inputs, TensorSpec, rows_of
from stagedoor.errors import BodyTooLarge, SchemaMismatch


@dataclass(frozen=True, slots=True)
class Free:
    """Tables become tables, lists become arrays; only sizes and shapes are checked."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """Nothing is known."""
        return ()

    def split(self, names: Sequence[str] | None, rows: list[Any], max_rows: int) -> Inputs:
        """A table with the given columns, or with "0", "1", ..."""
        _check_rows(rows, list, max_rows)
        width = len(rows[0]) if names is None else len(names)
        if any(len(row) != width for row in rows):
            raise SchemaMismatch("rows", f"{width} values in each", "another number of values")
        keys = list(map(str, range(width))) if names is None else names
        if len(set(keys)) != len(keys) or any(type(key) is not str for key in keys):
            raise SchemaMismatch("columns", "each name once, as a string", "something else")
        values = dict(zip(keys, zip(*rows, strict=True), strict=True))
        return Inputs("table", {name: natural(column) for name, column in values.items()}, len(rows))

    def records(self, rows: list[Any], max_rows: int) -> Inputs:
        """A table of all names that appear; null where a row has none."""
        _check_rows(rows, dict, max_rows)
        names = dict.fromkeys(name for row in rows for name in row)
        return Inputs("table", {name: natural([row.get(name) for row in rows]) for name in names}, len(rows))

    def named(self, values: Mapping[str, Any], max_rows: int) -> Inputs:
        """An array for each name."""
        if not values:
            raise SchemaMismatch("inputs", "at least one value", "none")
        arrays = {name: _array(value, name, max_rows) for name, value in values.items()}
        return Inputs("tensors", arrays, rows_of(next(iter(arrays.values()))))

    def nested(self, data: object, max_rows: int) -> Inputs:
        """One array, or records."""
        if type(data) is dict:
            return self.named(data, max_rows)
        if type(data) is list and data and type(data[0]) is dict:
            return self.records(data, max_rows)
        array = _array(data, "inputs", max_rows)
        return Inputs("tensors", {UNNAMED: array}, rows_of(array))

    def tensors(self, arrays: Arrays, max_rows: int) -> Inputs:
        """The tensors; a single one loses its name, since nothing says that the model knows it."""
        rows = rows_of(next(iter(arrays.values())))
        if rows > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        return Inputs("tensors", arrays if len(arrays) > 1 else {UNNAMED: next(iter(arrays.values()))}, rows)

    def frame(self, columns: Arrays, max_rows: int) -> Inputs:
        """The table."""
        rows = len(next(iter(columns.values()), ()))
        if rows > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        if rows == 0:
            raise SchemaMismatch("rows", "at least one row", "none")
        return Inputs("table", columns, rows)


def _check_rows(rows: list[Any], kind: type, max_rows: int) -> None:
    if len(rows) > max_rows:
        raise BodyTooLarge(max_rows, "rows")
    if not rows:
        raise SchemaMismatch("rows", "at least one row", "none")
    if any(type(row) is not kind for row in rows):
        expected = "lists of values" if kind is list else "objects of column names to values"
        raise SchemaMismatch("rows", expected, kinds_of(row for row in rows if type(row) is not kind))


def _array(data: object, field: str, max_rows: int) -> Array:
    shape, flat = unnest(data, field, max_rows)
    if 0 in shape:
        raise SchemaMismatch(field, "at least one value", "none")
    array = natural(flat)
    if array.dtype.kind == "O":
        if any(type(value) is not str for value in flat):
            raise SchemaMismatch(field, "numbers, booleans or strings, of one kind", kinds_of(flat))
        array = strings(flat)
    return array.reshape(shape)
