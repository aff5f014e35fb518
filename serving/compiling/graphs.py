"""From a fitted model to ONNX graphs that may be equal to it, the most exact one first. For child processes only."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

from serving.compiling.converters import DECLARED, register
from serving.compiling.forest import DOMAIN, OPSET
from serving.compiling.subject import TEXT, Subject
from serving.values import Array

TARGET: Final = {"": 18, DOMAIN: DECLARED}
IR_VERSION: Final = 10
MATRIX: Final = "inputs"
ANSWER: Final = "answer"
_WHOLE: Final = frozenset({"boolean", "integer", "long"})


@dataclass(frozen=True, slots=True)
class Precision:
    """How a graph takes numbers: in `number`, whole ones as integers if `whole`."""

    number: Any
    whole: bool
    name: str


def precisions(subject: Subject) -> Iterator[Precision]:
    """The ways to try, in order. Double precision comes first, except where all that is sent is single."""
    single = set(subject.columns.values()) == {"float"}
    numbers = [(DoubleTensorType, "double"), (FloatTensorType, "single")]
    whole = subject.by_column and not _WHOLE.isdisjoint(subject.columns.values())
    for number, name in reversed(numbers) if single else numbers:
        for as_integers in (True, False) if whole else (False,):
            yield Precision(number, as_integers, name)


def build(subject: Subject, precision: Precision, sample: Array) -> onnx.ModelProto:
    """A graph with one output, `answer`, of the type and rank of `sample`. Raises whatever the converters raise."""
    register(subject.raw)
    options = {id(subject.raw): {"zipmap": False}} if hasattr(subject.raw, "classes_") else None
    if options and not hasattr(subject.raw, "predict_proba"):
        options = None if not hasattr(subject.raw, "decision_function") else options
    model = to_onnx(
        subject.raw, initial_types=_inputs(subject, precision), options=options, target_opset=TARGET, model_optim=True
    )
    if any(node.op_type == "TreeEnsemble" for node in model.graph.node):
        for imported in model.opset_import:
            imported.version = OPSET if imported.domain == DOMAIN else imported.version
    model.ir_version = IR_VERSION
    return _answering(model, subject.output, sample)


def _inputs(subject: Subject, precision: Precision) -> list[tuple[str, Any]]:
    if not subject.by_column:
        return [(MATRIX, precision.number([None, len(subject.columns)]))]
    return [(name, _column(kind, precision)([None, 1])) for name, kind in subject.columns.items()]


def _column(kind: str, precision: Precision) -> Any:  # noqa: ANN401  a class of skl2onnx
    if kind == TEXT:
        return StringTensorType
    return Int64TensorType if kind in _WHOLE and precision.whole else precision.number


def _answering(model: onnx.ModelProto, place: int, sample: Array) -> onnx.ModelProto:
    """The graph with the output at `place` alone, cast to what the model answers; ONNX Runtime drops what is not needed."""
    graph = model.graph
    last = graph.output[place]
    kind = last.type.tensor_type.elem_type
    name = last.name
    del graph.output[:]
    if kind != TensorProto.STRING:
        wanted = helper.np_dtype_to_tensor_dtype(sample.dtype)
        graph.node.append(helper.make_node("Cast", [name], ["stagedoor_cast"], to=wanted))
        kind, name = wanted, "stagedoor_cast"
    shape = np.array([-1] if sample.ndim == 1 else [-1, sample.shape[1]], np.int64)
    graph.initializer.append(onnx.numpy_helper.from_array(shape, "stagedoor_shape"))
    graph.node.append(helper.make_node("Reshape", [name, "stagedoor_shape"], [ANSWER]))
    sizes = [None] if sample.ndim == 1 else [None, int(sample.shape[1])]
    graph.output.append(helper.make_tensor_value_info(ANSWER, kind, sizes))
    return model
