"""Every other MLflow flavour, through `mlflow.pyfunc`. MLflow is imported with the first such model, never before.

The signature has already been checked when a request comes here, so the model is called beneath MLflow's own enforcement
(a millisecond for a frame). Models that MLflow prepares inputs for in ways of its own (type hints, chat and agent
loaders, declared dependencies) go the full way through `PyFuncModel.predict`.
"""

import importlib
import inspect
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.loading.loaders.answers import to_outputs
from serving.loading.loaders.estimators import accept_matrix, fits
from serving.loading.loaders.frames import Frames
from serving.loading.loaders.options import LoadOptions
from serving.loading.loaders.pickles import needs_skops, refuse_pickles
from serving.loading.mlmodel import MLModel
from serving.values import UNNAMED, Block, Inputs, Outputs, TensorSpec
from stagedoor.errors import UnsafeArtifact

_PICKLE_SWITCH: Final = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
_OWN_WAYS: Final = ("mlflow.pyfunc.loaders.", "mlflow.langchain", "mlflow.dspy", "mlflow.llama_index", "mlflow.openai")

_ROW_FUNCTIONS: Final = frozenset({"predict", "predict_proba", "predict_log_proba", "decision_function"})

# Loading changes `sys.path`, `sys.modules` and the environment, which belong to the whole process.
_loading = threading.Lock()

Call = Callable[[Any, dict[str, Any] | None], Any]


class PyfuncPredictor:
    """A loaded pyfunc model. It says nothing of its inputs and outputs beyond its signature."""

    __slots__ = ("_call", "_frames", "_matrix", "_typed", "inputs", "outputs")

    def __init__(self, call: Call, *, typed: bool = False, matrix: bool = False) -> None:
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self._call = call
        self._frames = Frames()
        self._typed = typed
        self._matrix = matrix

    def predict(self, inputs: Inputs) -> Outputs:
        """Call the model with a DataFrame (tables; a matrix where that gives the same), an array or a dict of arrays.

        Raises whatever the model raises.
        """
        params = inputs.params
        return to_outputs(self._call(self._data(inputs), dict(params) if params else None))

    def _data(self, inputs: Inputs) -> Any:  # noqa: ANN401  pandas or numpy
        inputs = writable(inputs)
        arrays = inputs.arrays
        if inputs.kind == "tensors":
            return arrays[UNNAMED] if len(arrays) == 1 and UNNAMED in arrays else dict(arrays)
        if self._matrix and isinstance(arrays, Block) and fits(arrays.matrix):
            return arrays.matrix
        if self._typed:
            return _records(inputs)
        return self._frames.build(inputs)


def writable(inputs: Inputs) -> Inputs:
    """The inputs with a copy of each array that is a view of a request's body: the model's code may write to its data."""
    arrays = inputs.arrays
    if isinstance(arrays, Block):
        block = arrays if arrays.matrix.flags.writeable else Block(arrays.matrix.copy(), arrays.positions)
        return inputs if block is arrays else inputs._replace(arrays=block)
    if all(array.flags.writeable for array in arrays.values()):
        return inputs
    return inputs._replace(arrays={name: np.require(array, requirements="W") for name, array in arrays.items()})


def load_pyfunc(mlmodel: MLModel, options: LoadOptions) -> PyfuncPredictor:
    """Load with MLflow. Raises as `open_pyfunc`."""
    model = open_pyfunc(mlmodel, options)
    call, typed = _entry(model)
    return PyfuncPredictor(call, typed=typed, matrix=_takes_matrix(model, mlmodel))


def open_pyfunc(mlmodel: MLModel, options: LoadOptions) -> Any:  # noqa: ANN401  a PyFuncModel
    """A new `mlflow.pyfunc.PyFuncModel` of these files, with the model's own code to itself.

    Raises UnsafeArtifact for pickles unless they are allowed, else whatever loading raises.
    """
    if not options.allow_pickle:
        refuse_pickles(mlmodel)
    folder = mlmodel.folder.resolve()  # modules know their files by absolute path
    with _loading, _pickle_switch(on=options.allow_pickle or needs_skops(mlmodel)), _own_code(folder):
        return _mlflow_pyfunc().load_model(str(folder), suppress_warnings=True)


def _entry(model: Any) -> tuple[Call, bool]:  # noqa: ANN401  a PyFuncModel
    """How to call it, and whether its signature came from type hints (then it takes lists, never frames)."""
    typed = bool(model.metadata._is_signature_from_type_hint())  # noqa: SLF001  what PyFuncModel.predict asks, too
    metadata = model.metadata.metadata or {}
    wrapper = model._model_impl  # noqa: SLF001  what `predict` calls in the end
    is_python_model = type(wrapper) is _python_models()._PythonModelPyfuncWrapper  # noqa: SLF001  code or pickle alike
    if (
        typed
        or model.metadata._is_type_hint_from_example()  # noqa: SLF001  the same
        or (str(model.loader_module).startswith(_OWN_WAYS) and not is_python_model)
        or "dependencies_schemas" in metadata
    ):
        return model.predict, typed
    if is_python_model and wrapper.python_model.predict_type_hints.input is None:
        return _python_model_call(wrapper.python_model, wrapper.context), typed
    predict = model._predict_fn  # noqa: SLF001  the function that `predict_fn` of the MLmodel file names
    given = inspect.signature(predict).parameters.get("params")
    if given is not None and given.kind is not inspect.Parameter.VAR_KEYWORD:
        return (lambda data, params: predict(data, params=params)), typed
    return (lambda data, _params: predict(data)), typed


def _python_model_call(python_model: Any, context: Any) -> Call:  # noqa: ANN401  MLflow's PythonModel and its context
    """What `_PythonModelPyfuncWrapper.predict` finds out of a model's `predict` each time, found out once."""
    predict = python_model.predict
    parameters = inspect.signature(predict).parameters
    before = (context,) if _python_models()._is_context_in_predict_function_signature(parameters=parameters) else ()  # noqa: SLF001
    if "params" in parameters:
        return lambda data, params: predict(*before, data, params=params)
    return lambda data, _params: predict(*before, data)


def _takes_matrix(model: Any, mlmodel: MLModel) -> bool:  # noqa: ANN401  a PyFuncModel
    """Whether it is a model of scikit-learn that can do without frames, called by one of its own functions."""
    columns = mlmodel.inputs or []
    if str(model.loader_module) != "mlflow.sklearn" or not columns or columns[0].get("type") == "tensor":
        return False
    if mlmodel.flavors["python_function"].get("predict_fn", "predict") not in _ROW_FUNCTIONS:
        return False
    return accept_matrix(model.get_raw_model(), [column.get("name") for column in columns])


def _records(inputs: Inputs) -> list[Any]:
    """A table as the list that a type-hinted PythonModel takes: plain values, or one dict per row."""
    columns = {name: array.tolist() for name, array in inputs.arrays.items()}
    if len(columns) == 1 and next(iter(columns)) in {UNNAMED, "0"}:
        return list(next(iter(columns.values())))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@cache
def _mlflow_pyfunc() -> Any:  # noqa: ANN401  a module
    """Import MLflow as a library that loads local folders: no telemetry, no advice, no byte code beside the model's files."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    sys.dont_write_bytecode = True
    warnings.filterwarnings("ignore", module=r"mlflow\.")
    module = importlib.import_module("mlflow.pyfunc")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return module


def _python_models() -> Any:  # noqa: ANN401  a module
    return importlib.import_module("mlflow.pyfunc.model")


@contextmanager
def _pickle_switch(*, on: bool) -> Iterator[None]:
    """MLflow reads its switch from the environment at each load: a second guard behind `refuse_pickles`."""
    before = os.environ.get(_PICKLE_SWITCH)
    os.environ[_PICKLE_SWITCH] = "true" if on else "false"
    try:
        yield
    except Exception as error:
        if not on and _PICKLE_SWITCH in str(error):
            raise UnsafeArtifact(
                "Loading this model would unpickle something. Log it in a format without pickles, or, if everybody who can "
                "register models here may run code here, set STAGEDOOR_ALLOW_PICKLE=true."
            ) from error
        raise
    finally:
        if before is None:
            del os.environ[_PICKLE_SWITCH]
        else:
            os.environ[_PICKLE_SWITCH] = before


@contextmanager
def _own_code(folder: Path) -> Iterator[None]:
    """Let each version see its own code.

    MLflow puts a version's `code` folder on `sys.path` and leaves its modules in `sys.modules`, where the next version
    would find them instead of its own of the same names. And a code file that sets no model would get the last one set.
    """
    if "mlflow.models.model" in sys.modules:
        sys.modules["mlflow.models.model"].__mlflow_model__ = None  # type: ignore[attr-defined]
    last = next(reversed(sys.modules))
    try:
        yield
    finally:
        root = f"{folder}{os.sep}"
        for name in _imported_after(last):
            if str(getattr(sys.modules.get(name), "__file__", "") or "").startswith(root) and not _is_main_code(name):
                del sys.modules[name]


def _imported_after(last: str) -> list[str]:
    """What has been imported since `last` was. Looking at all modules would write into pages that workers share."""
    return list(takewhile(lambda name: name != last, reversed(sys.modules)))


def _is_main_code(name: str) -> bool:
    """MLflow's own name for a models-from-code file, unique for each load and looked up later by dataclasses and pickles."""
    return name.startswith("code_model_")
