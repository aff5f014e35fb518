"""BentoML, 2 workers; MLP with batching."""

from __future__ import annotations

import json
from pathlib import Path

from peers.contract import LINEAR, MLP, Workload
from peers.environment import Environment, pinned
from peers.launching import APPS, Launch, Neighbour

_ENVIRONMENT = Environment("bentoml", "bentoml", ("bentoml==1.4.39", pinned("onnxruntime"), pinned("numpy")))


def _plan(workload: Workload, folder: Path, port: int) -> Launch:
    service = "bentoml_app:Batching" if workload.name == MLP else "bentoml_app:Plain"
    options = {"--host": "127.0.0.1", "--port": port, "--working-dir": APPS}
    return Launch(
        command=[
            str(_ENVIRONMENT.folder / "bin" / "bentoml"),
            "serve",
            service,
            *(str(part) for pair in options.items() for part in pair),
        ],
        url=f"http://127.0.0.1:{port}/predict",
        body=json.dumps({"inputs": workload.rows()}).encode(),
        env={"BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "true"},
    )


BENTOML = Neighbour(_ENVIRONMENT, frozenset({LINEAR, MLP}), _plan)
