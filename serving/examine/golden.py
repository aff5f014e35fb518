"""Golden requests: those that every version has to answer well. The logged input example is one; files hold more."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from serving.codecs import CODECS, Wire
from serving.examine.answers import differs, off_schema, summary
from serving.loading.mlmodel import MLModel
from serving.loading.version import Version, one_line
from serving.values import Inputs
from stagedoor.errors import InvalidOutput, StagedoorError

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_REQUESTS: Final = 1000
MAX_SHOWN: Final = 20

Ending = Literal["answered", "unreadable", "refused", "failed", "invalid", "different"]


@dataclass(frozen=True, slots=True)
class Golden:
    """One request: a body of MLflow's scoring protocol, and the predictions that must come (None: any good answer)."""

    name: str
    body: bytes
    expected: Any = None


@dataclass(frozen=True, slots=True)
class Trial:
    """How one request ended.

    `unreadable`: the file does not hold requests. `refused`: it does not fit the signature, as a caller would be told.
    `failed`: the model raised. `invalid`: not finite, empty, or not as the signature declares. `different`: not the
    expected predictions.
    """

    name: str
    ending: Ending
    reason: str = ""
    seconds: float = 0.0


def read_golden(path: Path) -> Iterator[Golden]:
    """The requests of a file: a JSON list, or one JSON value a line; each a body, or `{"request": body, "predictions": ...}`.

    Raises ValueError that says what is wrong with the file.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES // 2**20} MiB")
    items = _items(path.read_bytes())
    if not items or len(items) > MAX_REQUESTS:
        raise ValueError(f"does not hold between 1 and {MAX_REQUESTS} requests")
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            raise ValueError("does not hold JSON objects, one for each request")  # noqa: TRY004  of the file, not of a type
        request = item.get("request", item)
        expected = item.get("predictions") if "request" in item else None
        yield Golden(f"{path.name}, request {number}", orjson.dumps(request), expected)


def _items(content: bytes) -> list[Any]:
    try:
        whole = json.loads(content)
    except json.JSONDecodeError:
        return [json.loads(line) for line in content.splitlines() if line.strip()]
    return whole if isinstance(whole, list) else [whole]


def try_all(
    mlmodel: MLModel, version: Version, files: list[Path], tolerance: float, max_rows: int
) -> tuple[dict[str, Any], Inputs | None]:
    """Try the logged example and all requests of `files`.

    Returns a report (`asked`, `answered`, up to 20 other `endings`, `outputs` of the first good answer) and the inputs of the
    first good answer, to time the model with.
    """
    trials: list[Trial] = []
    outputs: list[dict[str, Any]] | None = None
    sample: Inputs | None = None
    for golden in _all(mlmodel, files, trials):
        trial, inputs, shown = _try(mlmodel, version, golden, tolerance, max_rows)
        trials.append(trial)
        if outputs is None and shown is not None:
            outputs, sample = shown, inputs
    other = [asdict(trial) for trial in trials if trial.ending != "answered"]
    report = {"asked": len(trials), "answered": len(trials) - len(other), "endings": other[:MAX_SHOWN], "outputs": outputs}
    return report, sample


def _all(mlmodel: MLModel, files: list[Path], trials: list[Trial]) -> Iterator[Golden]:
    if mlmodel.example is not None:
        yield Golden("the logged input example", mlmodel.example.read_bytes())
    for path in files:
        try:
            yield from read_golden(path)
        except FileNotFoundError:
            trials.append(Trial(path.name, "unreadable", f"There is no file {path.name}."))
        except RecursionError:
            trials.append(Trial(path.name, "unreadable", f"{path.name} is nested too deeply."))
        except ValueError as error:  # JSON's and Unicode's errors quote what they read
            reason = str(error) if type(error) is ValueError else "is not JSON"
            trials.append(Trial(path.name, "unreadable", f"{path.name} {reason}."))


def _try(
    mlmodel: MLModel, version: Version, golden: Golden, tolerance: float, max_rows: int
) -> tuple[Trial, Inputs | None, list[dict[str, Any]] | None]:
    try:
        inputs = CODECS["mlflow"].decode(Wire(golden.body, "application/json", {}), version.signature, max_rows).inputs
    except StagedoorError as error:
        return Trial(golden.name, "refused", str(error)), None, None
    start = time.perf_counter()
    try:
        outputs = version.predictor.predict(inputs)
        version.signature.check_outputs(outputs, inputs.rows)
        misfit = off_schema(mlmodel.outputs or (), version.signature, outputs)
        wrong = golden.expected is not None and differs(outputs, golden.expected, tolerance)
    except InvalidOutput as error:
        return Trial(golden.name, "invalid", str(error)), None, None
    except Exception as error:  # noqa: BLE001  a model may raise anything
        return Trial(golden.name, "failed", f"It raised {one_line(error)}"), None, None
    seconds = time.perf_counter() - start
    if misfit is not None:
        return Trial(golden.name, "invalid", f"The answer is not as declared: {misfit}.", seconds), None, None
    if wrong:
        return Trial(golden.name, "different", "The predictions are not the expected ones.", seconds), None, None
    return Trial(golden.name, "answered", seconds=seconds), inputs, summary(outputs)
