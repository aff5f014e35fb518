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
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.loading.loaders.answers import to_outputs
from serving.loading.loaders.options import LoadOptions
from serving.loading.loaders.pickles import needs_skops, refuse_pickles
from serving.loading.mlmodel import MLModel
from serving.values import UNNAMED, Array, Block, Inputs, Outputs, TensorSpec
from stagedoor.errors import UnsafeArtifact

_PICKLE_SWITCH: Final = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
_OWN_WAYS: Final = ("mlflow.pyfunc.loaders.", "mlflow.langchain", "mlflow.dspy", "mlflow.llama_index", "mlflow.openai")

# Loading changes `sys.path`, `sys.modules` and the environment, which belong to the whole process.
_loading = threading.Lock()

Call = Callable[[Any, dict[str, Any] | None], Any]


class PyfuncPredictor:
    """A loaded pyfunc model. It says nothing of its inputs and outputs beyond its signature."""

    __slots__ = ("_call", "_frame", "_typed", "inputs", "outputs")

    def __init__(self, call: Call, *, typed: bool) -> None:
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self._call = call
        self._frame = _Frames()
        self._typed = typed

    def predict(self, inputs: Inputs) -> Outputs:
        """Call the model with a DataFrame (tables), an array or a dict of arrays. Raises whatever the model raises."""
        params = dict(inputs.params) or None
        return to_outputs(self._call(self._data(inputs), params))

    def _data(self, inputs: Inputs) -> Any:  # noqa: ANN401  pandas or numpy
        inputs = writable(inputs)
        arrays = inputs.arrays
        if inputs.kind == "tensors":
            return arrays[UNNAMED] if len(arrays) == 1 and UNNAMED in arrays else dict(arrays)
        if self._typed:
            return _records(inputs)
        return self._frame.build(inputs)


def writable(inputs: Inputs) -> Inputs:
    """The inputs with a copy of each array that is a view of a request's body: the model's code may write to its data."""
    arrays = inputs.arrays
    if isinstance(arrays, Block):
        block = arrays if arrays.matrix.flags.writeable else Block(arrays.matrix.copy(), arrays.positions)
        return inputs if block is arrays else inputs._replace(arrays=block)
    if all(array.flags.writeable for array in arrays.values()):
        return inputs
    return inputs._replace(arrays={name: np.require(array, requirements="W") for name, array in arrays.items()})


class _Frames:
    """Builds DataFrames; remembers the column index of the last one, which costs more than the frame."""

    __slots__ = ("_index",)

    def __init__(self) -> None:
        self._index: tuple[tuple[str, ...], Any] = ((), None)

    def build(self, inputs: Inputs) -> Any:  # noqa: ANN401  a DataFrame
        pandas = _pandas()
        arrays = inputs.arrays
        if isinstance(arrays, Block):
            return pandas.DataFrame(arrays.matrix, columns=self._columns(tuple(arrays)), copy=False)
        if list(arrays) == [UNNAMED]:
            return pandas.DataFrame({0: arrays[UNNAMED]})
        return pandas.DataFrame({name: _series(array) for name, array in arrays.items()}, copy=False)

    def _columns(self, names: tuple[str, ...]) -> Any:  # noqa: ANN401  an Index
        known, index = self._index
        if known != names:
            index = _pandas().Index(names)
            self._index = (names, index)
        return index


def load_pyfunc(mlmodel: MLModel, options: LoadOptions) -> PyfuncPredictor:
    """Load with MLflow. Raises UnsafeArtifact for pickles unless they are allowed, else whatever loading raises."""
    if not options.allow_pickle:
        refuse_pickles(mlmodel)
    folder = mlmodel.folder.resolve()  # modules know their files by absolute path
    with _loading, _pickle_switch(on=options.allow_pickle or needs_skops(mlmodel)), _own_code(folder):
        model = _mlflow_pyfunc().load_model(str(folder), suppress_warnings=True)
        call, typed = _entry(model)
    return PyfuncPredictor(call, typed=typed)


def _entry(model: Any) -> tuple[Call, bool]:  # noqa: ANN401  a PyFuncModel
    """How to call it, and whether its signature came from type hints (then it takes lists, never frames)."""
    typed = bool(model.metadata._is_signature_from_type_hint())  # noqa: SLF001  what PyFuncModel.predict asks, too
    metadata = model.metadata.metadata or {}
    if (
        typed
        or model.metadata._is_type_hint_from_example()  # noqa: SLF001  the same
        or str(model.loader_module).startswith(_OWN_WAYS)
        or "dependencies_schemas" in metadata
    ):
        return model.predict, typed
    predict = model._predict_fn  # noqa: SLF001  the function that `predict_fn` of the MLmodel file names
    given = inspect.signature(predict).parameters.get("params")
    if given is not None and given.kind is not inspect.Parameter.VAR_KEYWORD:
        return (lambda data, params: predict(data, params=params)), typed
    return (lambda data, _params: predict(data)), typed


def _records(inputs: Inputs) -> list[Any]:
    """A table as the list that a type-hinted PythonModel takes: plain values, or one dict per row."""
    columns = {name: array.tolist() for name, array in inputs.arrays.items()}
    if len(columns) == 1 and next(iter(columns)) in {UNNAMED, "0"}:
        return list(next(iter(columns.values())))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _series(array: Array) -> Any:  # noqa: ANN401  an array or a Series
    """Object columns stay objects: pandas 3 would make its own string type of them, which MLflow's enforcement undoes."""
    return _pandas().Series(array, dtype=np.dtype(object)) if array.dtype == object else array


@cache
def _pandas() -> Any:  # noqa: ANN401  a module
    return importlib.import_module("pandas")


@cache
def _mlflow_pyfunc() -> Any:  # noqa: ANN401  a module
    """Import MLflow as a library that loads local folders: no telemetry, no advice, no byte code beside the model's files."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    sys.dont_write_bytecode = True
    warnings.filterwarnings("ignore", module=r"mlflow\.")
    module = importlib.import_module("mlflow.pyfunc")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return module


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
    before = set(sys.modules)
    try:
        yield
    finally:
        root = f"{folder}{os.sep}"
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules.get(name), "__file__", "") or "").startswith(root) and not _is_main_code(name):
                del sys.modules[name]


def _is_main_code(name: str) -> bool:
    """MLflow's own name for a models-from-code file, unique for each load and looked up later by dataclasses and pickles."""
    return name.startswith("code_model_")
