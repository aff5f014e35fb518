"""One loaded version: everything that a request needs of it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serving.loading.loaders import LoadOptions, choose
from serving.loading.memory import anonymous_bytes
from serving.loading.mlmodel import MLModel, read_mlmodel
from serving.loading.row_trial import SLOWEST_SECONDS, keeps_rows_apart
from serving.loading.warmup import logged_example, synthetic_row, time_runs
from serving.schema import Signature, compile_signature
from serving.values import Inputs, Predictor
from stagedoor import names
from stagedoor.errors import ArtifactError, LoadFailed, OverBudget
from stagedoor.names import METADATA_BATCH

MAX_MESSAGE: Final = 300
_PATH: Final = re.compile(r"(?<![\w:/.])(?:[A-Za-z]:\\|/)[^\s'\"<>|:;,)]*")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Version:
    """A version that is loaded and warm.

    `warm_seconds` is the least time of one row, 0 if it could not be tried. `quick`: it waits for nothing but a core, and that
    time is below the setting, so that a thread would cost more than the prediction. `memory_bytes` is what loading it took.
    `rows_apart`: a trial has shown that each row is answered by itself. `batchable`: that, and the model may be given rows of
    several callers without anybody asking for it, since its file leaves the number of rows free or its metadata says
    `stagedoor_batch: true`. `cores` is how many one prediction keeps busy, 0 where it may wait for something else.
    """

    name: str
    version: str
    digest: str
    flavor: str
    predictor: Predictor
    signature: Signature
    quick: bool
    warm_seconds: float
    memory_bytes: int
    rows_apart: bool = False
    batchable: bool = False
    compiled: bool = False
    cores: int = 0


def load_version(folder: Path, name: str, version: str, digest: str, options: LoadOptions) -> Version:
    """Read, load and warm up the model in `folder`.

    Raises an ArtifactError leaf whose reason tells people what to do; it is free of machine paths.
    """
    before = anonymous_bytes()
    try:
        mlmodel = read_mlmodel(folder)
        flavor, loader = choose(mlmodel)
        predictor = loader(mlmodel, options)
        signature = compile_signature(mlmodel.inputs, mlmodel.outputs, mlmodel.params, predictor.inputs, predictor.outputs)
        warm_seconds, example = _warm_up(mlmodel, predictor, signature, options)
        rows_apart = example is not None and warm_seconds < SLOWEST_SECONDS and keeps_rows_apart(predictor, example)
    except ArtifactError:
        raise
    except MemoryError as error:
        raise OverBudget("Loading it took more memory than there is. Make the model smaller or the machine larger.") from error
    except (Exception, SystemExit) as error:  # a framework, or code that was logged with the model, may raise anything
        raise LoadFailed(_sentence(error)) from error
    cores = getattr(predictor, "cores", 0)
    # What may wait for something else may do so for as long as it likes, and in the event loop everybody would wait with it.
    quick = cores > 0 and 0 < warm_seconds * 1e6 < options.inline_below_microseconds
    grown = max(anonymous_bytes() - before, 0)
    batchable = rows_apart and (bool(predictor.inputs) or mlmodel.metadata.get(METADATA_BATCH) is True)
    compiled = flavor == names.FLAVOR_COMPILED
    return Version(
        name,
        version,
        digest,
        "onnx" if compiled else flavor,
        predictor,
        signature,
        quick,
        warm_seconds,
        grown,
        rows_apart,
        batchable,
        compiled,
        cores,
    )


def _warm_up(mlmodel: MLModel, predictor: Predictor, signature: Signature, options: LoadOptions) -> tuple[float, Inputs | None]:
    """Least seconds of one row, and what it was taken from, None where nothing worked.

    The logged example has to work; a made-up row may be one that the model rightly refuses.
    """
    example = logged_example(mlmodel, signature, options.max_rows)
    if example is not None:
        try:
            return time_runs(predictor, example), example
        except Exception as error:
            raise LoadFailed(f"It fails on its own input example: {one_line(error)}") from error
    row = synthetic_row(mlmodel, signature, predictor)
    if row is None:
        return 0.0, None
    try:
        return time_runs(predictor, row), row
    except Exception:  # noqa: BLE001  see above: made-up values prove nothing against a model
        return 0.0, None


def _sentence(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            f"It needs the Python module {error.name}, which is not installed here. Install what the model's requirements.txt "
            "names beside Stagedoor, or log the model as ONNX."
        )
    if isinstance(error, SystemExit):
        return "Its code ended the process while it was loaded. Remove the call to exit and log it again."
    return f"Loading it raised {one_line(error)}"


def one_line(error: BaseException) -> str:
    """Type and message of an error on one line, without the paths of this machine."""
    text = " ".join(_PATH.sub(_last_part, str(error)).split())
    return f"{type(error).__name__}: {text[:MAX_MESSAGE]}" if text else type(error).__name__


def _last_part(match: re.Match[str]) -> str:
    return re.split(r"[/\\]", match.group().rstrip("/\\"))[-1]
