"""DataFrames for models that take them, without the time that pandas needs to find out what it is given.

The signature has settled names, order and types of the columns, so their arrays become the blocks of a frame as they are. Where
pandas lacks that way (before 3.0), and for times, its constructor is used; the frame is the same.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from serving.values import UNNAMED, Array, Block, Inputs

_AS_BLOCKS: Final = frozenset("fiubO")
_OBJECT: Final = np.dtype(object)


class _Layout(NamedTuple):
    """Columns of one set of names: what pandas needs of them besides their values."""

    names: tuple[str, ...]
    index: Any
    together: Array
    apart: tuple[Array, ...]


class Frames:
    """Makes DataFrames. Remembers the layout of the last one: names are those of a signature, and seldom change."""

    __slots__ = ("_layout",)

    def __init__(self) -> None:
        self._layout = _Layout((), None, np.empty(0, np.intp), ())

    def build(self, inputs: Inputs) -> Any:  # noqa: ANN401  a DataFrame
        """The table as a DataFrame over the same memory, with the default index; a column without a name is called 0."""
        arrays = inputs.arrays
        if UNNAMED in arrays and len(arrays) == 1:
            return pandas().DataFrame({0: arrays[UNNAMED]})
        assemble = _assemble()
        if assemble is None:
            return _constructed(arrays, self._of(tuple(arrays)).index)
        layout = self._of(tuple(arrays))
        if isinstance(arrays, Block):
            blocks = [(arrays.matrix.T, layout.together)]
        else:
            columns = arrays.values()
            if not _AS_BLOCKS.issuperset(array.dtype.kind for array in columns):
                return _constructed(arrays, layout.index)
            blocks = [(array.reshape(1, -1), place) for array, place in zip(columns, layout.apart, strict=True)]
        return assemble(blocks, index=pandas().RangeIndex(inputs.rows), columns=layout.index)

    def _of(self, names: tuple[str, ...]) -> _Layout:
        layout = self._layout
        if layout.names != names:
            places = np.arange(len(names))
            apart = tuple(places[at : at + 1] for at in range(len(names)))
            layout = self._layout = _Layout(names, pandas().Index(names), places, apart)
        return layout


def _constructed(arrays: Mapping[str, Array], index: Any) -> Any:  # noqa: ANN401  pandas' Index and DataFrame
    if isinstance(arrays, Block):
        return pandas().DataFrame(arrays.matrix, columns=index, copy=False)
    return pandas().DataFrame({name: _series(array) for name, array in arrays.items()}, copy=False)


def _series(array: Array) -> Any:  # noqa: ANN401  an array or a Series
    """Object columns stay objects: pandas 3 would make its own string type of them, which MLflow's enforcement undoes."""
    return pandas().Series(array, dtype=_OBJECT) if array.dtype == _OBJECT else array


@cache
def pandas() -> Any:  # noqa: ANN401  a module
    """pandas, imported with the first frame."""
    return importlib.import_module("pandas")


@cache
def _assemble() -> Callable[..., Any] | None:
    try:
        made: Callable[..., Any] = importlib.import_module("pandas.api.internals").create_dataframe_from_blocks
    except (ImportError, AttributeError):
        return None
    return made
