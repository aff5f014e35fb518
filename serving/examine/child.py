"""What the child of an examination does: load the version, try it, time it, and say all of it in one JSON report.

Its `main` is that of the process such children are forked from, as for probes: libraries are imported once.
"""

import socket
import sys
import time
from pathlib import Path
from typing import Any

from serving.examine.golden import try_all
from serving.examine.timing import latency
from serving.loading.mlmodel import MLModel, read_mlmodel
from serving.loading.probe_server import memory_of, read_options, serve
from serving.loading.version import Version, load_version
from serving.loading.warmup import synthetic_row
from serving.values import OIP_TO_NUMPY, Inputs, TensorSpec
from stagedoor.errors import ArtifactError, OverBudget
from stagedoor.settings import MIB


def examine_here(request: dict[str, Any]) -> dict[str, Any]:
    """The report: `signature`, and either `failure` (`code` is the class of the error) or what was found.

    What the signature leaves out is said by the model file itself, where that can.
    """
    folder = Path(request["folder"])
    options = read_options(request["options"])
    signature: dict[str, Any] | None = None
    try:
        mlmodel = read_mlmodel(folder)
        signature = {"inputs": mlmodel.inputs, "outputs": mlmodel.outputs, "params": mlmodel.params}
        start = time.perf_counter()
        version = load_version(folder, "", "", "", options)
        seconds = time.perf_counter() - start
        memory = memory_of(version, folder)
        if memory > options.budget_bytes:
            raise OverBudget(
                f"It needs {memory // MIB} MiB, and {options.budget_bytes // MIB} MiB are allowed. Make the model smaller or "
                "raise STAGEDOOR_GATE_MEMORY_MIB."
            )
    except ArtifactError as error:
        return {"signature": signature, "failure": {"code": type(error).__name__, "reason": error.reason}}
    signature["inputs"] = mlmodel.inputs or _as_signature(version.predictor.inputs, "str")
    signature["outputs"] = mlmodel.outputs or _as_signature(version.predictor.outputs, "object")
    files = [Path(path) for path in request["golden"]]
    golden, sample = try_all(mlmodel, version, files, request["tolerance"], options.max_rows)
    return {
        "signature": signature,
        "flavor": version.flavor,
        "load_seconds": seconds,
        "memory_bytes": memory,
        "golden": golden,
        "latency": _latency(mlmodel, version, sample),
    }


def _as_signature(specs: tuple[TensorSpec, ...], other: str) -> list[dict[str, Any]] | None:
    """What a graph says of itself, as an MLmodel's signature would; `other` is what is no number."""
    return [
        {
            "type": "tensor",
            "name": spec.name,
            "tensor-spec": {"dtype": str(OIP_TO_NUMPY.get(spec.datatype, other)), "shape": list(spec.shape)},
        }
        for spec in specs
    ] or None


def _latency(mlmodel: MLModel, version: Version, sample: Inputs | None) -> dict[str, Any] | None:
    """None where there is no input that the model answers. Made-up rows that it refuses prove nothing against it."""
    inputs = sample if sample is not None else synthetic_row(mlmodel, version.signature, version.predictor)
    if inputs is None:
        return None
    try:
        return latency(version.predictor, inputs)
    except Exception:  # noqa: BLE001  see above: any framework's error
        return None


def main() -> None:
    """Started with the number of its socket and the kind of models to be ready for."""
    serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3], examine_here)
