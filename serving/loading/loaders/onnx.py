"""ONNX models through ONNX Runtime, without MLflow in between.

Feeds and answers follow `mlflow.onnx._OnnxModelWrapper` (3.17), except where that fails: a frame given to a model with
several or two-dimensional outputs is answered with one entry per row, and whole numbers are accepted for floats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from serving.cores import usable_cores
from serving.loading.loaders.onnx_files import check_external_data
from serving.loading.loaders.options import LoadOptions
from serving.loading.mlmodel import MLModel
from serving.values import UNNAMED, Array, Arrays, Block, Inputs, Outputs, TensorSpec, oip_datatype
from stagedoor.errors import LoadFailed

_ORT_TYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(int16)": np.dtype(np.int16),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(uint16)": np.dtype(np.uint16),
    "tensor(uint32)": np.dtype(np.uint32),
    "tensor(uint64)": np.dtype(np.uint64),
    "tensor(bool)": np.dtype(np.bool_),
}
_CPU: Final = ["CPUExecutionProvider"]
_OBJECT: Final[np.dtype[Any]] = np.dtype(object)
_QUIET: Final = 3
"""ONNX Runtime's severity `error`: its warnings about unused initializers are for whoever exported the model."""


@dataclass(frozen=True, slots=True)
class _Feed:
    """One graph input. `dtype` is None for strings and other types that are handed over as they are."""

    name: str
    dtype: np.dtype[Any] | None
    rank: int | None

    def cast(self, array: Array) -> Array:
        """`array` in the graph's type where no meaning is lost, else as it is: ONNX Runtime then says what is wrong."""
        want = self.dtype
        if want is None or array.dtype == want or not _castable(array.dtype, want):
            return array
        return array.astype(want)


def _castable(have: np.dtype[Any], want: np.dtype[Any]) -> bool:
    if np.can_cast(have, want, "safe"):
        return True
    return want.kind == "f" and have.kind in "iuf" and want.itemsize >= np.dtype(np.float32).itemsize


class OnnxPredictor:
    """A session. `inputs` and `outputs` are those of the graph. `cores`: how many a run keeps busy, 0 where it is elsewhere."""

    __slots__ = ("_feeds", "_gives_arrays", "_names", "_only", "_run", "cores", "inputs", "outputs", "session")

    def __init__(self, session: ort.InferenceSession) -> None:
        self.session = session
        threads = session.get_session_options().intra_op_num_threads or usable_cores()
        self.cores = threads if session.get_providers() == _CPU else 0
        # What InferenceSession.run calls once it has checked the feeds again in Python.
        self._run = session._sess.run  # noqa: SLF001  there is no public way past those checks
        self._feeds = tuple(_Feed(node.name, _ORT_TYPES.get(node.type), _rank(node.shape)) for node in session.get_inputs())
        self._only = self._feeds[0] if len(self._feeds) == 1 else None
        self._names = [node.name for node in session.get_outputs()]
        self._gives_arrays = all(node.type in _ORT_TYPES for node in session.get_outputs())
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_spec(node) for node in session.get_outputs())

    def predict(self, inputs: Inputs) -> Outputs:
        """Run the graph: `named` for tensors, `table` for a frame (`named` if an output has not one entry per row)."""
        names = self._names
        if inputs.kind == "tensors":
            results = self._run(names, self._tensor_feeds(inputs.arrays), None)
            return Outputs("named", dict(zip(names, results if self._gives_arrays else map(_plain, results), strict=True)))
        results = self._run(names, self._table_feeds(inputs.arrays, inputs.rows), None)
        return _table(dict(zip(names, map(_plain, results), strict=True)), inputs.rows)

    def _tensor_feeds(self, arrays: Arrays) -> dict[str, Array]:
        only = self._only
        if only is not None and UNNAMED in arrays:
            array = arrays[UNNAMED]
            return {only.name: array if array.dtype is only.dtype else only.cast(array)}
        return {feed.name: feed.cast(arrays[feed.name]) for feed in self._feeds if feed.name in arrays}

    def _table_feeds(self, arrays: Arrays, rows: int) -> dict[str, Array]:
        only = self._only
        if only is None:
            return {feed.name: _column(feed, arrays[feed.name]) for feed in self._feeds if feed.name in arrays}
        if isinstance(arrays, Block):
            return {only.name: only.cast(arrays.matrix)}
        return {only.name: _stack(only, list(arrays.values()), rows)}


def load_onnx(mlmodel: MLModel, options: LoadOptions) -> OnnxPredictor:
    """Open the model's ONNX file. Raises ArtifactError leaves, or ONNX Runtime's own errors on a model it cannot read."""
    flavor = mlmodel.flavors["onnx"]
    path = mlmodel.file(str(flavor.get("data") or "model.onnx"))
    if path.is_dir():
        path = mlmodel.file(f"{path.relative_to(mlmodel.folder)}/model.onnx")
    check_external_data(path, mlmodel.folder)
    session = ort.InferenceSession(
        str(path), sess_options=_session_options(flavor, options), providers=_providers(flavor, options)
    )
    return OnnxPredictor(session)


def _session_options(flavor: Mapping[str, Any], options: LoadOptions) -> ort.SessionOptions:
    """The operator's threads, then what the model's author asked for through `onnx_session_options`."""
    session = ort.SessionOptions()
    session.log_severity_level = _QUIET
    session.intra_op_num_threads = options.onnx_threads
    session.inter_op_num_threads = 1
    session.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session.add_session_config_entry("session.inter_op.allow_spinning", "0")
    asked = flavor.get("onnx_session_options") or {}
    try:
        for name, apply in _SESSION_OPTIONS.items():
            if asked.get(name):
                apply(session, asked[name])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LoadFailed("The model's onnx_session_options cannot be used. Log it again with valid ones.") from error
    return session


def _set_inter_op(session: ort.SessionOptions, value: int) -> None:
    session.inter_op_num_threads = value


def _set_intra_op(session: ort.SessionOptions, value: int) -> None:
    session.intra_op_num_threads = value


def _set_mode(session: ort.SessionOptions, value: str) -> None:
    modes = {"SEQUENTIAL": ort.ExecutionMode.ORT_SEQUENTIAL, "PARALLEL": ort.ExecutionMode.ORT_PARALLEL}
    session.execution_mode = modes[value.upper()]


def _set_level(session: ort.SessionOptions, value: int) -> None:
    session.graph_optimization_level = ort.GraphOptimizationLevel(value)


def _set_extra(session: ort.SessionOptions, value: Mapping[str, str]) -> None:
    for key, entry in value.items():
        session.add_session_config_entry(str(key), str(entry))


# The names that `mlflow.onnx` reads; anything else it ignores, and so does this.
_SESSION_OPTIONS: Final[Mapping[str, Callable[[ort.SessionOptions, Any], None]]] = {
    "inter_op_num_threads": _set_inter_op,
    "intra_op_num_threads": _set_intra_op,
    "execution_mode": _set_mode,
    "graph_optimization_level": _set_level,
    "extra_session_config": _set_extra,
}

Provider = str | tuple[str, dict[str, Any]]


def _providers(flavor: Mapping[str, Any], options: LoadOptions) -> list[Provider]:
    """The first choice that can be had: what the model names, of which this build must have one; else the setting's, all of it.

    MLflow writes CUDA before CPU into every model, so a provider this build lacks is no error as long as another is left.
    """
    available = set(ort.get_available_providers())
    asked = flavor.get("providers")
    named = [asked] if isinstance(asked, str) else list(asked or ())
    wanted = [tuple(entry) if isinstance(entry, list) else entry for entry in named] or list(options.onnx_providers)
    usable = [entry for entry in wanted if _provider_name(entry) in available]
    if not usable or (not named and len(usable) < len(wanted)):
        missing = ", ".join(_provider_name(entry) for entry in wanted if entry not in usable)
        where = "model asks for" if named else "setting STAGEDOOR_ONNX_PROVIDERS asks for"
        raise LoadFailed(
            f"The {where} {missing}, which this build of ONNX Runtime lacks; it has {', '.join(sorted(available))}. "
            "Log the model with providers=['CPUExecutionProvider'] or install the build that has it."
        )
    return usable


def _provider_name(entry: object) -> str:
    return str(entry[0]) if isinstance(entry, tuple) and entry else str(entry)


def _rank(shape: Sequence[object] | None) -> int | None:
    return len(shape) if shape else None


def _spec(node: Any) -> TensorSpec:  # noqa: ANN401  ONNX Runtime has no types
    dtype = _ORT_TYPES.get(node.type, _OBJECT)
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape or ())
    return TensorSpec(node.name, oip_datatype(dtype), shape or ((-1,) if dtype == _OBJECT else ()))


def _column(feed: _Feed, column: Array) -> Array:
    """One column of a frame for one graph input: `[n, 1]` where the graph wants a matrix."""
    whole = _unnest(feed, column)
    if whole.ndim == 1 and feed.rank is not None and feed.rank > 1:
        whole = whole.reshape((-1,) + (1,) * (feed.rank - 1))
    return feed.cast(whole)


def _stack(feed: _Feed, columns: list[Array], rows: int) -> Array:
    """Columns of several types side by side as one matrix."""
    if len(columns) == 1 and columns[0].dtype == _OBJECT:
        whole = _unnest(feed, columns[0])
        return feed.cast(whole if whole.ndim > 1 else whole.reshape(rows, 1))
    return feed.cast(np.ascontiguousarray(np.concatenate(columns).reshape(len(columns), rows).T))


def _unnest(feed: _Feed, column: Array) -> Array:
    """A column whose cells are themselves lists of numbers, as one array."""
    if feed.dtype is None or column.dtype != _OBJECT:
        return column
    return np.array(column.tolist(), feed.dtype)


def _plain(result: object) -> Array:
    """An output as an array. A ZipMap's list of dicts becomes an object array of dicts with their labels as strings."""
    if isinstance(result, np.ndarray):
        return result
    items = result if isinstance(result, list) else [result]
    cells = np.empty(len(items), _OBJECT)
    for at, item in enumerate(items):
        cells[at] = {str(label): value for label, value in item.items()} if isinstance(item, dict) else item
    return cells


def _table(arrays: dict[str, Array], rows: int) -> Outputs:
    """A frame of the outputs if each has an entry per row. Columns `[n, 1]` become `[n]`; wider ones keep a row per entry."""
    columns = {}
    for name, array in arrays.items():
        if array.ndim == 0 or array.shape[0] != rows:
            return Outputs("named", arrays)
        columns[name] = array.reshape(rows) if array.size == rows else array
    return Outputs("table", columns)
