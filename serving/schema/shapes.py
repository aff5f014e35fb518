"""Nested JSON lists as a shape and a flat list, with every dimension checked: numpy is never asked to guess."""

from itertools import chain
from typing import Any, Final

from stagedoor.errors import BodyTooLarge, SchemaMismatch

MAX_DIMENSIONS: Final = 64  # numpy's own limit


def unnest(data: object, field: str, max_rows: int) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of `data` and its leaves in row-major order.

    Raises SchemaMismatch for ragged or too deeply nested lists, BodyTooLarge for more than `max_rows` rows. Leaves are not
    looked at, except that none is a list where its neighbour is not.
    """
    if type(data) is not list:
        return (), [data]
    if len(data) > max_rows:
        raise BodyTooLarge(max_rows, "rows")
    shape = [len(data)]
    flat: list[Any] = data
    while flat and type(flat[0]) is list:
        if len(shape) == MAX_DIMENSIONS:
            raise SchemaMismatch(field, f"at most {MAX_DIMENSIONS} dimensions", "more")
        size = len(flat[0])
        if len(flat) == 1:
            flat = flat[0]
        else:
            if set(map(type, flat)) != {list} or set(map(len, flat)) != {size}:
                raise SchemaMismatch(field, "lists of one length", "ragged lists")
            flat = list(chain.from_iterable(flat))
        shape.append(size)
    return tuple(shape), flat


def fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether `shape` is one of `expected`, where -1 stands for any size."""
    if len(shape) != len(expected):
        return False
    for size, want in zip(shape, expected, strict=True):  # noqa: SIM110  `all` costs every request more
        if want not in (-1, size):
            return False
    return True


def checked_shape(value: object, field: str) -> tuple[int, ...]:
    """A shape that a caller stated. Raises SchemaMismatch unless it is a list of at most 64 positive integers."""
    if type(value) is not list or not {int}.issuperset(map(type, value)):
        raise SchemaMismatch(field, "a list of positive integers", "something else")
    if value and min(value) < 1:
        raise SchemaMismatch(field, "a list of positive integers", "a dimension below 1")
    if len(value) > MAX_DIMENSIONS:
        raise SchemaMismatch(field, f"at most {MAX_DIMENSIONS} dimensions", f"{len(value)}")
    return tuple(value)


def describe(shape: tuple[int, ...]) -> str:
    """A shape for people: `[-1, 30]`."""
    return f"shape [{', '.join(map(str, shape))}]"
