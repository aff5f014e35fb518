"""A model's signature, compiled once per version into a check that runs on every request."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from serving.schema.elements import COLUMN_TYPES, tensor_element
from serving.schema.form import Form
from serving.schema.free import Free
from serving.schema.nested import compile_element
from serving.schema.params import Params, compile_params
from serving.schema.tables import Column, Table
from serving.schema.tensors import Tensor, Tensors
from serving.values import NO_PARAMS, OIP_TO_NUMPY, UNNAMED, Array, Inputs, Outputs, TensorSpec
from stagedoor.errors import InvalidOutput, LoadFailed

_DOT_SIZES: Final = (4, 8)
_FEW: Final = 24
"""So many numbers are sooner added up as Python's own."""

Specs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a version takes and gives.

    `form` checks and converts data, `params` the inference parameters. `inputs` and `outputs` describe both for people and for
    `/v2` metadata; `outputs` is empty where nothing is known.
    """

    form: Form
    params: Params
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def with_params(self, inputs: Inputs, values: object) -> Inputs:
        """`inputs` with the params of the request (None: it has none) over the defaults. Raises SchemaMismatch."""
        if values is None and self.params.defaults is NO_PARAMS:
            return inputs
        params = self.params.check(values)
        return inputs if params is NO_PARAMS else Inputs(inputs.kind, inputs.arrays, inputs.rows, params)

    def check_outputs(self, outputs: Outputs, rows: int) -> None:
        """Raise InvalidOutput if `outputs` cannot be the answer to `rows` rows: a number is not finite, or nothing came."""
        if outputs.kind == "json":
            if not _is_finite_json(outputs.value):
                raise InvalidOutput("a number in it is not finite")
            return
        if rows and not outputs.arrays:
            raise InvalidOutput("it is empty")
        for array in outputs.arrays.values():
            if array.dtype.kind in "fc" and not _is_finite(array):
                raise InvalidOutput("a number in it is not finite")
            if rows and array.size == 0:
                raise InvalidOutput("it is empty")


def _is_finite(array: Array) -> bool:
    # A sum is not finite if any number is not, nor is one of squares: quicker than to ask each. It may overflow, so look again.
    if array.dtype.kind == "f" and array.size <= _FEW and math.isfinite(sum(array.ravel().tolist())):
        return True
    if array.dtype.kind == "f" and array.itemsize in _DOT_SIZES and math.isfinite(np.vdot(array, array)):
        return True
    return bool(np.isfinite(array).all())


def _is_finite_json(value: object) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return False
        if isinstance(item, Mapping):
            pending.extend(item.values())
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
        elif isinstance(item, np.ndarray) and item.dtype.kind in "fc" and not _is_finite(item):
            return False
    return True


def compile_signature(
    inputs: Specs | None,
    outputs: Specs | None,
    params: Specs | None,
    native_inputs: tuple[TensorSpec, ...] = (),
    native_outputs: tuple[TensorSpec, ...] = (),
) -> Signature:
    """Compile the lists of an MLmodel's signature (None where it has none).

    `native_*` is what the model file says by itself, and takes the place of what the signature leaves out. Raises LoadFailed
    for a signature that MLflow could not have written.
    """
    try:
        form = _form(inputs, native_inputs)
        given = _output_specs(outputs) or native_outputs
        return Signature(form, compile_params(params), form.specs, given)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise LoadFailed("The signature in the MLmodel file cannot be read. Log the model again.") from error


def _form(inputs: Specs | None, native: tuple[TensorSpec, ...]) -> Form:
    if not inputs:
        return Tensors(tuple(_native_tensor(spec) for spec in native)) if native else Free()
    if inputs[0]["type"] == "tensor":
        return Tensors(tuple(_tensor(spec) for spec in inputs))
    named = all("name" in spec for spec in inputs)
    columns = []
    for place, spec in enumerate(inputs):
        required = bool(spec.get("required", True))
        name = str(spec["name"]) if named else UNNAMED if len(inputs) == 1 else str(place)
        columns.append(Column(name, compile_element(spec, required=required), required))
    return Table(tuple(columns), named)


def _tensor(spec: Mapping[str, Any]) -> Tensor:
    info = spec["tensor-spec"]
    return Tensor(spec.get("name") or UNNAMED, tensor_element(np.dtype(info["dtype"])), tuple(map(int, info["shape"])))


def _native_tensor(spec: TensorSpec) -> Tensor:
    return Tensor(spec.name, tensor_element(OIP_TO_NUMPY.get(spec.datatype, np.dtype(np.str_))), spec.shape)


def _output_specs(outputs: Specs | None) -> tuple[TensorSpec, ...]:
    return tuple(_output_spec(spec, spec.get("name") or f"output-{place}") for place, spec in enumerate(outputs or (), 1))


def _output_spec(spec: Mapping[str, Any], name: str) -> TensorSpec:
    if spec["type"] == "tensor":
        info = spec["tensor-spec"]
        return TensorSpec(name, tensor_element(np.dtype(info["dtype"])).datatype, tuple(map(int, info["shape"])))
    element = COLUMN_TYPES.get(spec["type"]) or compile_element(spec, required=False)
    return TensorSpec(name, element.datatype, (-1,))
