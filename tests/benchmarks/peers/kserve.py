"""KServe's SDK, 1 worker, Open Inference Protocol. It has no batching of its own: that is a sidecar in Kubernetes."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from peers.contract import LINEAR, MLP, Workload
from peers.environment import Environment, pinned
from peers.launching import APPS, Launch, Neighbour

_ENVIRONMENT = Environment("kserve", "kserve", ("kserve==0.21.0", pinned("onnxruntime"), pinned("numpy")))


def _plan(workload: Workload, folder: Path, port: int) -> Launch:
    session = onnxruntime.InferenceSession(workload.onnx, providers=["CPUExecutionProvider"])
    return Launch(
        command=[
            str(_ENVIRONMENT.python),
            str(APPS / "kserve_app.py"),
            *("--http_port", str(port)),
            *("--workers", "1"),
            *("--enable_grpc", "false"),
            *("--enable_latency_logging", "false"),
        ],
        url=f"http://127.0.0.1:{port}/v2/models/{workload.name}/infer",
        body=workload.v2_body(session.get_inputs()[0].name),
    )


KSERVE = Neighbour(_ENVIRONMENT, frozenset({LINEAR, MLP}), _plan)
