"""`stagedoor up` as a person starts and ends it."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from stagedoor.demo.catalog import example_file

COMMAND = (sys.executable, "-c", "from stagedoor.cli import main; main(prog_name='stagedoor')")
START_SECONDS = 600
GATES_SECONDS = 120
"""Until a version has passed the gates and is served, on a busy machine."""


def until(condition: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
    return found


def belonging_to(state: Path) -> list[int]:
    """Every process that was started for this state folder, whoever its parent is now."""
    mark = f"STAGEDOOR_STATE_DIR={state}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            ours = entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if ours:
            found.append(int(entry.name))
    return found


class Up:
    """One `stagedoor up`, which can be ended and started again in the same folder."""

    def __init__(self, state: Path, *options: str) -> None:
        self.state = state
        self.options = options
        self.log = state.parent / "up.log"
        self.endpoints: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        with self.log.open("wb") as log:
            ports = ("--gateway-port", "0", "--mlflow-port", "0", "--controller-port", "0")
            arguments = ("up", "--state", str(self.state), *ports, *self.options)
            self.process = subprocess.Popen((*COMMAND, *arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        file = self.state / "endpoints.json"
        until(lambda: file.exists() or self.process.poll() is not None, START_SECONDS)
        assert self.process.poll() is None, self.log.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        self.endpoints = json.loads(file.read_text())

    def end(self, number: int = signal.SIGTERM) -> int:
        os.kill(self.process.pid, number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def close(self) -> None:
        if self.process.poll() is None:
            self.end()

    def post(self, path: str, body: Path | bytes, role: str = "predictor") -> requests.Response:
        data = body.read_bytes() if isinstance(body, Path) else body
        headers = {"Authorization": f"Bearer {self.endpoints['tokens'][role]}", "Content-Type": "application/json"}
        return requests.post(f"{self.endpoints['gateway']}{path}", data=data, headers=headers, timeout=30)

    def predict(self, model: str, protocol: str = "mlflow") -> requests.Response:
        path = {
            "mlflow": f"/models/{model}/invocations",
            "v2": f"/v2/models/{model}/infer",
            "simple": f"/predict?model={model}",
        }
        return self.post(path[protocol], example_file(self.state / "examples", model.partition("@")[0], protocol))  # type: ignore[arg-type]

    def output(self) -> str:
        return self.log.read_text()
