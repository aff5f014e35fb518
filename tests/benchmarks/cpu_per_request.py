"""A plain-name ONNX request through everything, beside a bare ASGI echo and `mlflow models serve -w 2`, in one run.

All serve the same logistic regression on 30 columns (ONNX, tensor signature) and get the same body. Rounds are interleaved;
medians with minimum and maximum are printed. The two MLflow servers live in virtual environments made on demand.

    python tests/benchmarks/cpu_per_request.py [--rounds 3] [--seconds 8] [--connections 16] [--without-mlflow]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from rig import ROOT, Closed, System, closed_loop, console, free_port, print_table, process, spread, system, tree_of, wait_for

MODEL = "bench-linear"
CACHE = ROOT / ".bench"


@dataclass(frozen=True)
class Server:
    """Something to drive: where, with which token, and whose CPU to read."""

    name: str
    url: str
    token: str | None
    pid: int
    note: str = ""


def register(running: System) -> tuple[bytes, Path]:
    """Train and register the model, wait until it is live; give a body for it and the folder of its files."""
    import mlflow
    from skl2onnx import to_onnx
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression

    os.environ["MLFLOW_TRACKING_TOKEN"] = running.tokens["promoter"]
    mlflow.set_tracking_uri(running.mlflow)
    data, labels = load_breast_cancer(return_X_y=True)
    data = (data / data.max(axis=0)).astype("float32")
    fitted = LogisticRegression().fit(data, labels)
    onnx = to_onnx(fitted, data[:1], options={"zipmap": False})
    with mlflow.start_run():
        signature = mlflow.models.infer_signature(data[:5])
        logged = mlflow.onnx.log_model(onnx, name="model", signature=signature, registered_model_name=MODEL)
    mlflow.MlflowClient().set_registered_model_alias(MODEL, "champion", "1")
    body = json.dumps({"inputs": [[float(v) for v in data[0]]]}).encode()
    url = f"{running.gateway}/models/{MODEL}/invocations"
    wait_for(lambda: _post(url, body, running.tokens["predictor"]), 60, "the model to be live")
    folder = running.state / "bench-model"
    mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=str(folder))
    return body, next(folder.rglob("MLmodel")).parent


def _post(url: str, body: bytes, token: str | None) -> bool:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        return requests.post(url, data=body, headers=headers, timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


@contextmanager
def echo(logs: Path) -> Iterator[Server]:
    """The floor, on the gateway's own worker settings."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "python:serving.gunicorn_conf",
        "--bind",
        f"127.0.0.1:{port}",
        "--pythonpath",
        str(Path(__file__).parent),
        "echo:app",
    ]
    env = {"STAGEDOOR_STATE_DIR": str(logs / "echo-state")}
    with process(command, env=env, log=logs / "echo.log") as pid:
        url = f"http://127.0.0.1:{port}/"
        wait_for(lambda: _post(url, b"{}", None), 30, "the echo server")
        yield Server("bare ASGI echo", url, None, pid)


@contextmanager
def mlflow_serve(folder: Path, body: bytes, logs: Path, *, fast: bool) -> Iterator[Server]:
    """`mlflow models serve -w 2` in its own environment, with uvloop and httptools where `fast`."""
    name = "mlflow models serve -w 2, " + ("uvloop and httptools" if fast else "as installed")
    python = _environment("mlflow-fast" if fast else "mlflow", ["uvloop", "httptools"] if fast else [])
    port = free_port()
    command = [
        str(python),
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(folder),
        "--env-manager",
        "local",
        "-w",
        "2",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    env = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "MLFLOW_TRACKING_URI": "file:/nonexistent"}
    with process(command, env=env, log=logs / "mlflow.log", cwd=logs) as pid:
        url = f"http://127.0.0.1:{port}/invocations"
        wait_for(lambda: _post(url, body, None), 120, name)
        yield Server(name, url, None, pid)


def _environment(name: str, extra: list[str]) -> Path:
    """The Python of a virtual environment with MLflow's scoring server in it."""
    python = CACHE / name / "bin" / "python"
    if not (CACHE / name / "ready").exists():
        with console.status(f"installing {name} into {CACHE.name}/"):
            pins = ["-c", str(ROOT / "constraints.txt")]
            subprocess.run([sys.executable, "-m", "venv", str(CACHE / name)], check=True, timeout=120)
            wanted = ["mlflow", "onnx", "onnxruntime", *extra]
            subprocess.run([str(python), "-m", "pip", "install", "-q", *pins, *wanted], check=True, timeout=1200)
        (CACHE / name / "ready").touch()
    return python


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--without-mlflow", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        running = stack.enter_context(system())
        body, folder = register(running)
        gateway_pid = _gateway_master(running)
        ours = Server(
            "stagedoor, plain name, everything on",
            f"{running.gateway}/models/{MODEL}/invocations",
            running.tokens["predictor"],
            gateway_pid,
        )
        started = [stack.enter_context(echo(running.state)), ours]
        if not options.without_mlflow:
            started += [stack.enter_context(mlflow_serve(folder, body, running.state, fast=fast)) for fast in (False, True)]
        readings: dict[str, list[Closed]] = {server.name: [] for server in started}
        for _ in range(options.rounds):
            for server in started:
                pids = tree_of(server.pid)
                closed_loop(server.url, body, server.token, pids, connections=options.connections, seconds=1)
                readings[server.name].append(
                    closed_loop(server.url, body, server.token, pids, connections=options.connections, seconds=options.seconds)
                )
    report(readings, ours.name, options.connections)


def _gateway_master(running: System) -> int:
    """The gunicorn master above the workers."""
    worker = running.worker_pids()[0]
    return int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])


def report(readings: dict[str, list[Closed]], ours: str, connections: int) -> None:
    """Readings and ratios against this gateway."""
    cpu = {name: statistics.median(r.cpu_us for r in runs) for name, runs in readings.items()}
    rate = {name: statistics.median(r.per_second for r in runs) for name, runs in readings.items()}
    rows = [
        (
            name,
            spread([r.per_second for r in runs]),
            spread([r.cpu_us for r in runs]),
            spread([r.p50_ms for r in runs]),
            spread([r.p99_ms for r in runs]),
            sum(r.failed for r in runs),
            f"{rate[ours] / rate[name]:.2f}",
            f"{cpu[ours] / cpu[name]:.2f}",
        )
        for name, runs in readings.items()
    ]
    columns = ["server", "requests/s", "CPU us/request", "p50 ms", "p99 ms", "failed", "our rate / its", "our CPU / its"]
    print_table(f"One row of 30 columns, {connections} connections", columns, rows)
    console.print(
        "Targets: CPU at most 3 times the echo's; at least 20 times the rate of mlflow as installed, 4 times with uvloop."
    )


if __name__ == "__main__":
    main()
