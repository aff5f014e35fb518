"""Our own converters, registered with skl2onnx in place of those that round: see `forest`. For child processes only."""

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from onnx import TensorProto, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

from serving.compiling.forest import DOMAIN
from serving.compiling.grown import GROWN, Forest, class_name
from serving.compiling.subject import Unsuited

DECLARED: Final = 3
"""The version of the operators' domain that skl2onnx writes. Its graphs are raised to that of our trees when they are done."""

_IMPUTER: Final = "sklearn.impute._base.SimpleImputer"
_OPTIONS: Final = {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]}


def register(model: Any) -> None:  # noqa: ANN401  a fitted estimator of any kind
    """Register what `model` and the estimators within it need: ours for trees, onnxmltools' for XGBoost.

    Raises ImportError where onnxmltools is needed and not installed.
    """
    for part in parts_of(model):
        name = class_name(part)
        if hasattr(part, "flatten_transform"):  # of voting: says nothing of predictions, and the converter knows one only
            part.flatten_transform = False
        if name in GROWN:
            is_classifier = hasattr(part, "classes_")
            options = _OPTIONS if is_classifier else None
            update_registered_converter(
                type(part), f"Stagedoor{type(part).__name__}", _shapes, _convert, overwrite=True, options=options
            )
        elif name == _IMPUTER:
            update_registered_converter(type(part), "StagedoorImputer", _imputer_shapes, _convert_imputer, overwrite=True)
        elif name.startswith("xgboost.sklearn."):
            part.get_booster().feature_names = None  # the converter knows features by place alone
            _register_xgboost(type(part))


def parts_of(model: Any, depth: int = 0) -> Iterator[Any]:  # noqa: ANN401  the same
    """`model` and all estimators within it, fitted or not."""
    yield model
    if depth > _MAX_DEPTH or not hasattr(model, "__dict__"):
        return
    for value in vars(model).values():
        for item in _items(value):
            if hasattr(item, "get_params") and not isinstance(item, type):
                yield from parts_of(item, depth + 1)


_MAX_DEPTH: Final = 8


def _items(value: Any) -> list[Any]:  # noqa: ANN401  the same
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, np.ndarray):
        return list(value.ravel()) if value.dtype == object else []
    if isinstance(value, list | tuple):
        nested = (item if isinstance(item, tuple | list) else (item,) for item in value)
        return list(itertools.chain.from_iterable(nested))
    return [value]


def _register_xgboost(kind: type) -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost  # noqa: PLC0415  imports xgboost
    from skl2onnx.common.shape_calculator import (  # noqa: PLC0415  beside it
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    if hasattr(kind, "predict_proba"):
        shapes, options = calculate_linear_classifier_output_shapes, _OPTIONS
    else:
        shapes, options = calculate_linear_regressor_output_shapes, None
    update_registered_converter(kind, f"Xgb{kind.__name__}", shapes, convert_xgboost, overwrite=True, options=options)


def _shapes(operator: Any) -> None:  # noqa: ANN401  skl2onnx has no types
    model = operator.raw_operator
    rows = operator.inputs[0].get_first_dimension()
    number = _number(operator)
    if hasattr(model, "classes_"):
        labels = StringTensorType if _is_text(model) else Int64TensorType
        operator.outputs[0].type = labels([rows])
        operator.outputs[1].type = number([rows, len(model.classes_)])
    else:
        operator.outputs[0].type = number([rows, 1])


def _imputer_shapes(operator: Any) -> None:  # noqa: ANN401  the same
    operator.outputs[0].type = _number(operator)(
        [operator.inputs[0].get_first_dimension(), len(operator.raw_operator.statistics_)]
    )


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401  the same
    """SimpleImputer over numbers; the stock converter's operator knows no double precision. Raises Unsuited for any other."""
    model = operator.raw_operator
    statistics = np.asarray(model.statistics_)
    if model.add_indicator or statistics.dtype.kind != "f" or not _is_nan(model.missing_values) or np.isnan(statistics).any():
        raise Unsuited(
            "Its SimpleImputer does more than fill NaN with numbers; fill other values, texts and empty columns, and add "
            "indicators, before the model. It is served as it is."
        )
    graph = _Graph(scope, container)
    columns = [graph.cast(column.full_name, TensorProto.DOUBLE) for column in operator.inputs]
    data = columns[0] if len(columns) == 1 else graph.add("Concat", columns, axis=1)
    filled = graph.add("Where", [graph.add("IsNaN", [data]), graph.constant(statistics.tolist()), data])
    kind = TensorProto.DOUBLE if _number(operator) is DoubleTensorType else TensorProto.FLOAT
    graph.add("Cast", [filled], to=kind, output=operator.outputs[0].full_name)


def _is_nan(value: Any) -> bool:  # noqa: ANN401  whatever counts as missing
    return isinstance(value, float) and np.isnan(value)


def _number(operator: Any) -> Any:  # noqa: ANN401  the same
    doubles = any(isinstance(given.type, DoubleTensorType) for given in operator.inputs)
    return DoubleTensorType if doubles else FloatTensorType


def _is_text(model: Any) -> bool:  # noqa: ANN401  the same
    return np.asarray(model.classes_).dtype.kind in "UO"


def _convert(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401  the same
    model = operator.raw_operator
    forest = GROWN[class_name(model)](model)
    graph = _Graph(scope, container)
    data = operator.inputs[0].full_name
    if forest.single:
        data = graph.cast(data, TensorProto.FLOAT)
    raw = graph.trees(graph.cast(data, TensorProto.DOUBLE), forest)
    if hasattr(model, "classes_"):
        scores, place = _classified(graph, raw, forest)
        graph.label(place, model, operator.outputs[0].full_name)
        answer, out = scores, operator.outputs[1]
    else:
        answer, out = _regressed(graph, raw, forest), operator.outputs[0]
    kind = TensorProto.DOUBLE if _number(operator) is DoubleTensorType else TensorProto.FLOAT
    graph.add("Cast", [answer], to=kind, output=out.full_name)


def _regressed(graph: "_Graph", raw: str, forest: Forest) -> str:
    if forest.link == "mean":
        return graph.add("Div", [raw, graph.constant([forest.divisor])])
    return graph.add("Exp", [raw]) if forest.link == "exp" else raw


def _classified(graph: "_Graph", raw: str, forest: Forest) -> tuple[str, str]:
    """Names of the probabilities `[n, k]` and of each row's place among the classes `[n]`."""
    if forest.link == "mean":
        scores = graph.add("Div", [raw, graph.constant([forest.divisor])])
        return scores, graph.first_highest(scores)
    if forest.link == "softmax":
        scores = graph.add("Softmax", [raw], axis=1)
        return scores, graph.first_highest(raw)
    scaled = raw if forest.scale == 1 else graph.add("Mul", [raw, graph.constant([forest.scale])])
    one = graph.add("Sigmoid", [scaled])
    scores = graph.add("Concat", [graph.add("Sub", [graph.constant([1.0]), one]), one], axis=1)
    above = graph.add("GreaterOrEqual" if forest.tie else "Greater", [raw, graph.constant([0.0])])
    flat = graph.add("Reshape", [graph.cast(above, TensorProto.INT64), graph.integers([-1])])
    return scores, flat


class _Graph:
    """Adds nodes to a container of skl2onnx, each with a new name."""

    def __init__(self, scope: Any, container: Any) -> None:  # noqa: ANN401  the same
        self._scope = scope
        self._container = container

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:  # noqa: ANN401  ONNX's own
        out = output or self._scope.get_unique_variable_name(kind.lower())
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, inputs, [out], name=name, **attributes)
        return out

    def cast(self, data: str, to: int) -> str:
        return self.add("Cast", [data], to=to)

    def constant(self, values: list[float]) -> str:
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, TensorProto.DOUBLE, [len(values)], values)
        return name

    def integers(self, values: list[int]) -> str:
        name: str = self._scope.get_unique_variable_name("integers")
        self._container.add_initializer(name, TensorProto.INT64, [len(values)], values)
        return name

    def trees(self, data: str, forest: Forest) -> str:
        attributes = {
            name: numpy_helper.from_array(value, name) if isinstance(value, np.ndarray) else value
            for name, value in forest.ensemble.attributes().items()
        }
        return self.add("TreeEnsemble", [data], op_domain=DOMAIN, op_version=DECLARED, **attributes)

    def first_highest(self, scores: str) -> str:
        return self.add("ArgMax", [scores], axis=1, keepdims=0, select_last_index=0)

    def label(self, place: str, model: Any, output: str) -> None:  # noqa: ANN401  the same
        """The class at each place; classes that are not text go as whole numbers."""
        classes = np.asarray(model.classes_)
        name = self._scope.get_unique_variable_name("classes")
        if _is_text(model):
            self._container.add_initializer(
                name, TensorProto.STRING, [len(classes)], [str(label).encode() for label in classes]
            )
        else:
            self._container.add_initializer(name, TensorProto.INT64, [len(classes)], [int(label) for label in classes])
        self.add("Gather", [name, place], output=output, axis=0)
