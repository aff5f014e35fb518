"""Ray Serve, 2 replicas behind its proxy; MLP with batching."""

from __future__ import annotations

import json
from pathlib import Path

from peers.contract import LINEAR, MLP, Workload
from peers.environment import Environment, pinned
from peers.launching import APPS, Launch, Neighbour

_ENVIRONMENT = Environment("ray", "ray", ("ray[serve]==2.60.0", pinned("onnxruntime"), pinned("numpy")))


def _plan(workload: Workload, folder: Path, port: int) -> Launch:
    return Launch(
        command=[str(_ENVIRONMENT.python), str(APPS / "ray_app.py")],
        url=f"http://127.0.0.1:{port}/",
        body=json.dumps({"inputs": workload.rows()}).encode(),
        env={"PEER_PORT": str(port), "RAY_USAGE_STATS_ENABLED": "0"},
    )


RAY = Neighbour(_ENVIRONMENT, frozenset({LINEAR, MLP}), _plan)
