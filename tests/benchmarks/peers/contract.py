"""What is put before each server, and what a server is to whoever measures it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

LINEAR = "linear"
FOREST = "forest"
MLP = "mlp"
START_SECONDS = 120.0
"""How long a server may take from its start to its first right answer."""
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Workload:
    """One model and one request of it, the same for every server.

    The ONNX file takes float32 `[-1, n]` as its only input, and gives `label` and `probabilities` (linear, forest) or one
    float output (mlp). `mlmodel` is MLflow's folder of the same model, as it is registered: linear and mlp as ONNX with a
    tensor signature, forest as scikit-learn with a column signature.
    """

    name: str
    onnx: Path
    mlmodel: Path
    inputs: NDArray[np.float32]
    """One row, `[1, n]`."""
    expected: tuple[float, ...]
    """Numbers that every right answer contains, within 1e-4: probabilities, the output, or the forest's label."""
    columns: tuple[str, ...] | None = None
    """Names of the forest's columns."""

    def rows(self) -> list[list[float]]:
        """The inputs as JSON takes them: float32 written out as `tolist()` does."""
        rows: list[list[float]] = self.inputs.tolist()
        return rows

    def mlflow_body(self) -> bytes:
        """The row as MLflow's scoring protocol has it: `dataframe_split` where columns have names, else `inputs`."""
        if self.columns is None:
            return json.dumps({"inputs": self.rows()}).encode()
        return json.dumps({"dataframe_split": {"columns": list(self.columns), "data": self.rows()}}).encode()

    def v2_body(self, input_name: str) -> bytes:
        """The row as an Open Inference Protocol request with JSON data."""
        data = self.inputs.ravel().tolist()
        tensor = {"name": input_name, "shape": list(self.inputs.shape), "datatype": "FP32", "data": data}
        return json.dumps({"inputs": [tensor]}).encode()

    def right(self, answer: bytes) -> bool:
        """Whether this JSON contains the expected numbers."""
        try:
            found = list(_numbers(json.loads(answer)))
        except ValueError:
            return False
        return all(any(math.isclose(number, wanted, abs_tol=_TOLERANCE) for number in found) for wanted in self.expected)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)


@dataclass(frozen=True)
class Running:
    """A started server: POST `body` to `url` with `headers` and `content_type`. `pid` is the root of its process tree."""

    url: str
    body: bytes
    pid: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Peer(Protocol):
    """A server to measure. It runs in an environment of its own, which `install` makes."""

    @property
    def name(self) -> str:
        """What the tables call it: one short word."""
        ...

    @property
    def workloads(self) -> frozenset[str]:
        """Names of the workloads it is measured with."""
        ...

    def version(self) -> str:
        """The version of its package, read from its environment; `?` where it is not installed."""
        ...

    def install(self) -> None:
        """Make its environment; at once where it is there. Raises subprocess.SubprocessError or OSError."""
        ...

    def missing(self) -> str | None:
        """Why it cannot be measured, or None where it can."""
        ...

    def start(self, workload: Workload, logs: Path) -> AbstractContextManager[Running]:
        """Start it with a workload it names; leaving the context ends all its processes.

        Entered when the workload's body has got 200 and a right answer. Raises TimeoutError after `START_SECONDS`, and
        RuntimeError if the server ends before. `logs` is a folder for its log and working files.
        """
        ...
