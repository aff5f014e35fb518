"""LitServe, 2 workers; MLP with batching."""

from __future__ import annotations

import json
from pathlib import Path

from peers.contract import LINEAR, MLP, Workload
from peers.environment import Environment, pinned
from peers.launching import APPS, Launch, Neighbour

_ENVIRONMENT = Environment("litserve", "litserve", ("litserve==0.2.19", pinned("onnxruntime"), pinned("numpy")))


def _plan(workload: Workload, folder: Path, port: int) -> Launch:
    return Launch(
        command=[str(_ENVIRONMENT.python), str(APPS / "litserve_app.py")],
        url=f"http://127.0.0.1:{port}/predict",
        body=json.dumps({"inputs": workload.rows()}).encode(),
        env={"PEER_PORT": str(port)},
    )


LITSERVE = Neighbour(_ENVIRONMENT, frozenset({LINEAR, MLP}), _plan)
