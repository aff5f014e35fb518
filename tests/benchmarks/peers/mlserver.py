"""MLServer with ONNX Runtime in a custom runtime, 2 workers; MLP with adaptive batching. Open Inference Protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
from rig import free_port

from peers.contract import LINEAR, MLP, Workload
from peers.environment import Environment, pinned
from peers.launching import Launch, Neighbour

_WORKERS = 2
_MAX_BATCH = 64
_BATCH_SECONDS = 0.0005
# Its workers ask uvloop for an event loop before there is one, which uvloop refuses since 0.22.
_ENVIRONMENT = Environment("mlserver", "mlserver", ("mlserver==1.7.1", "uvloop<0.22", pinned("onnxruntime"), pinned("numpy")))


def _plan(workload: Workload, folder: Path, port: int) -> Launch:
    session = onnxruntime.InferenceSession(workload.onnx, providers=["CPUExecutionProvider"])
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": _WORKERS,
    }
    model: dict[str, Any] = {"name": workload.name, "implementation": "mlserver_app.OnnxRuntime"}
    if workload.name == MLP:
        model |= {"max_batch_size": _MAX_BATCH, "max_batch_time": _BATCH_SECONDS}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return Launch(
        command=[str(_ENVIRONMENT.folder / "bin" / "mlserver"), "start", str(folder)],
        url=f"http://127.0.0.1:{port}/v2/models/{workload.name}/infer",
        body=workload.v2_body(session.get_inputs()[0].name),
    )


MLSERVER = Neighbour(_ENVIRONMENT, frozenset({LINEAR, MLP}), _plan)
