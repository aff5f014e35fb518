"""The compiled form of a model: an ONNX graph that answers as the model does through pyfunc, and refuses what it refuses.

Written by `serving.compiling`, which proves the one equal to the other. Its folder holds an MLmodel file with the flavour
`stagedoor_compiled` and the signature of the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from serving.loading.loaders.onnx import OnnxPredictor, load_onnx
from serving.loading.loaders.options import LoadOptions
from serving.loading.mlmodel import MLModel
from serving.values import UNNAMED, Array, Arrays, Block, Inputs, Outputs, TensorSpec
from stagedoor import names
from stagedoor.errors import LoadFailed

GRAPH: Final = "model.onnx"
EVERY: Final = "*"
"""In place of a column's name: every column, and the one tensor."""
UNSEEN: Final = "\0"
"""What a null becomes in a column of strings whose model takes nulls: a text that no model knows."""

Category = str | int | float


@dataclass(frozen=True, slots=True)
class Refusals:
    """What the model refuses in one column.

    `nan`: NaN is refused. `largest`: the largest magnitude that is not; None takes infinities, too. `null`: nulls among
    strings are refused. `known`: the only values that are not; None takes any.
    """

    nan: bool = False
    largest: float | None = None
    null: bool = False
    known: frozenset[Category] | None = None

    def check(self, values: Array) -> None:
        """Raise ValueError if the model would refuse one of `values`."""
        if self.known is not None and not self.known.issuperset(values.tolist()):
            raise ValueError("a column holds a category that the model has not learned")
        if values.dtype.kind == "O":
            if self.null and any(value is None for value in values):
                raise ValueError("a column holds a null, which the model does not take")
        elif values.dtype.kind == "f":
            self._check_numbers(values)

    def _check_numbers(self, values: Array) -> None:
        if self.largest is not None:
            most = np.abs(values).max() if self.nan else np.fmax.reduce(np.abs(values), axis=None)
            # As a Python number: compared with one, single precision would round the limit to infinity.
            if not (float(most) <= self.largest or (not self.nan and np.isnan(most))):
                raise ValueError("an input is NaN, infinite or too large, which the model does not take")
        elif self.nan and np.isnan(values).any():
            raise ValueError("an input is NaN, which the model does not take")

    def as_json(self) -> dict[str, Any]:
        """In JSON's own types, without what is not refused."""
        known = sorted(self.known, key=str) if self.known is not None else None
        rules = {"nan": self.nan, "largest": self.largest, "null": self.null, "known": known}
        return {key: value for key, value in rules.items() if value not in (False, None)}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Refusals":
        """What `as_json` wrote."""
        known = data.get("known")
        return cls(
            bool(data.get("nan", False)),
            float(data["largest"]) if "largest" in data else None,
            bool(data.get("null", False)),
            frozenset(known) if known is not None else None,
        )


class CompiledPredictor:
    """The graph behind the checks of the model. Says no more of its inputs and outputs than the model did."""

    __slots__ = ("_every", "_graph", "_refusals", "_texts", "cores", "inputs", "outputs")

    def __init__(self, graph: OnnxPredictor, refusals: Mapping[str, Refusals], texts: frozenset[str]) -> None:
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self._graph = graph
        self.cores = graph.cores
        self._every = refusals.get(EVERY)
        self._refusals = tuple((name, rules) for name, rules in refusals.items() if name != EVERY and rules != Refusals())
        self._texts = texts

    def predict(self, inputs: Inputs) -> Outputs:
        """One unnamed array, as pyfunc answers. Raises ValueError for what the model refuses, and ONNX Runtime's errors."""
        arrays = inputs.arrays
        if self._every is not None:
            self._check_every(arrays)
        for name, rules in self._refusals:
            if name in arrays:
                rules.check(arrays[name])
        if self._texts:
            arrays = {name: _without_nulls(array) if name in self._texts else array for name, array in arrays.items()}
            inputs = Inputs(inputs.kind, arrays, inputs.rows)
        answer = self._graph.predict(inputs)
        return Outputs.of_array(next(iter(answer.arrays.values())))

    def _check_every(self, arrays: Arrays) -> None:
        assert self._every is not None  # noqa: S101  the caller looked
        if isinstance(arrays, Block):
            self._every.check(arrays.matrix)
        else:
            for array in arrays.values():
                self._every.check(array)


def load_compiled(mlmodel: MLModel, options: LoadOptions) -> CompiledPredictor:
    """Open the graph. Raises as `load_onnx`, and LoadFailed where what lies beside it cannot be read."""
    conf = mlmodel.flavors[names.FLAVOR_COMPILED]
    graph = load_onnx(replace(mlmodel, flavors={"onnx": {"data": GRAPH}}), options)
    try:
        refusals = {str(name): Refusals.read(rules) for name, rules in (conf.get("refuses") or {}).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise LoadFailed("The compiled form cannot be read. It will be made anew.") from error
    texts = {str(column.get("name", UNNAMED)) for column in mlmodel.inputs or () if column.get("type") == "string"}
    return CompiledPredictor(graph, refusals, frozenset(texts))


def _without_nulls(array: Array) -> Array:
    if not any(value is None for value in array):
        return array
    filled = array.copy()
    filled[[value is None for value in array]] = UNSEEN
    return filled
