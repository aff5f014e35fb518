"""`mlflow models serve -w 2`: as `pip install mlflow` leaves it, and with uvloop and httptools beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from peers.contract import FOREST, LINEAR, MLP, Workload
from peers.environment import Environment
from peers.launching import Launch, Neighbour

_WORKERS = 2
_NEEDED = ("mlflow", "onnx", "onnxruntime", "scikit-learn", "skops")


def _planned(environment: Environment) -> Callable[[Workload, Path, int], Launch]:
    def plan(workload: Workload, folder: Path, port: int) -> Launch:
        options = {"-m": workload.mlmodel.resolve(), "--env-manager": "local", "-w": _WORKERS, "-h": "127.0.0.1", "-p": port}
        return Launch(
            command=[
                str(environment.python),
                *("-m", "mlflow", "models", "serve"),
                *(str(part) for pair in options.items() for part in pair),
            ],
            url=f"http://127.0.0.1:{port}/invocations",
            body=workload.mlflow_body(),
            env={"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'unused.db'}"},
        )

    return plan


def _neighbour(name: str, *extra: str) -> Neighbour:
    environment = Environment(name, "mlflow", (*_NEEDED, *extra), constrained=True)
    return Neighbour(environment, frozenset({LINEAR, FOREST, MLP}), _planned(environment))


MLFLOW = _neighbour("mlflow")
MLFLOW_FAST = _neighbour("mlflow-fast", "uvloop", "httptools")
