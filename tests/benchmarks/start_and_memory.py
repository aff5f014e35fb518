"""How soon a gateway answers after it was started, and what its processes hold, beside `mlflow models serve -w 2`.

The state folder has served before, so there is a snapshot and nothing is fetched: what a restarted machine finds. Three ways,
in turns: the gateway with a snapshot of ONNX models alone, with that of all the demo's models (two of them need MLflow,
scikit-learn and pandas), each by `stagedoor gateway`; and MLflow's server with one ONNX model. Time counts from starting the
command to the first good answer; memory is the proportional set size of the processes that answer (master and workers) three
seconds later. CPU is what all had spent by the first answer: it says more than the time where the machine is busy.

    python tests/benchmarks/start_and_memory.py [--rounds 3] [--state FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from rig import ROOT, console, cpu_seconds, free_port, print_table, process, tree_of, wait_for

from serving.compiling.promotion import is_candidate, tools

MODEL = "digits"
"""One of the demo's, which MLflow's server can serve as well: ONNX with a tensor signature."""

SETTLED_SECONDS = 3.0
_BODY = json.dumps({"inputs": [[0.0] * 64]}).encode()


@dataclass(frozen=True)
class Reading:
    """One start."""

    seconds: float
    cpu_seconds: float
    memory_mib: float


@dataclass(frozen=True)
class Server:
    """Something that was just started; `answering` gives the process above all those that answer."""

    url: str
    pid: int
    answering: Callable[[], int]


def served_before(state: Path) -> None:
    """Make a state folder whose snapshot names all the demo's models."""
    state.mkdir(parents=True)
    command = [_script("stagedoor"), "up", "--demo", "--no-controller", "--state", str(state)]
    ports = ["--gateway-port", str(free_port()), "--mlflow-port", str(free_port())]
    with process([*command, *ports], log=state.parent / "up.log"):
        endpoints = state / "endpoints.json"
        wait_for(endpoints.exists, 240, "stagedoor up")
        told = json.loads(endpoints.read_text())
        url = f"{told['gateway']}/models/{MODEL}/invocations"
        wait_for(lambda: _answers(url, told["tokens"]["predictor"]), 120, "the demo's models", pause=0.2)
        wait_for(lambda: not tools() or _is_compiled(state), 300, "the compiled forms of the demo's models", pause=0.2)


def _is_compiled(state: Path) -> bool:
    """Whether the snapshot names the last form of each version: its graph, or the version where there is none."""
    serving = state / "serving"
    found = {(name, version): what for name, version, _, what in json.loads((serving / "store" / "index.json").read_text())}
    for name, model in json.loads((serving / "snapshot.json").read_text())["models"].items():
        for version, entry in model.get("versions", {}).items():
            known = found.get((name, version))
            if known is None or known["compiled"] != entry.get("compiled", ""):
                return False
            if not known["said"] and is_candidate(serving / "store" / known["digest"]):
                return False
    return True


def onnx_alone(state: Path, into: Path) -> Path:
    """A copy of the state folder whose snapshot names ONNX models only."""
    shutil.copytree(state, into, ignore=shutil.ignore_patterns("mlflow", "control", "logs"))
    path = into / "serving" / "snapshot.json"
    snapshot = json.loads(path.read_text())
    for name, model in list(snapshot["models"].items()):
        if any(found.get("flavor") != "onnx" for found in model.get("versions", {}).values()):
            del snapshot["models"][name]
    path.write_text(json.dumps(snapshot))
    return into


@contextmanager
def gateway(state: Path, logs: Path) -> Iterator[Server]:
    """`stagedoor gateway`: a resolver and two workers. MLflow is out of reach, so that the snapshot alone counts."""
    shutil.rmtree(state / "serving" / "workers", ignore_errors=True)
    port = free_port()
    command = [_script("stagedoor"), "gateway", "--state", str(state), "--mlflow", f"http://127.0.0.1:{free_port()}"]
    with process([*command, "--port", str(port)], log=logs / "gateway.log", cwd=logs) as pid:
        yield Server(f"http://127.0.0.1:{port}/models/{MODEL}/invocations", pid, lambda: _master(state))


def _master(state: Path) -> int:
    """The gunicorn master above the workers that serve from `state`."""
    worker = next((state / "serving" / "workers").glob("*.json")).stem
    return int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def mlflow(folder: Path, logs: Path) -> Iterator[Server]:
    """`mlflow models serve -w 2` in the environment that `make bench-peers` makes."""
    home = ROOT / ".bench" / "mlflow" / "bin"
    if not home.exists():
        raise SystemExit("MLflow's server has no environment yet: run make bench-peers.")
    port = free_port()
    command = [str(home / "python"), "-m", "mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local"]
    env = {"PATH": f"{home}{os.pathsep}{os.environ['PATH']}", "MLFLOW_TRACKING_URI": "file:/nonexistent"}
    where = ["-w", "2", "-h", "127.0.0.1", "-p", str(port)]
    with process([*command, *where], env=env, log=logs / "mlflow.log", cwd=logs) as pid:
        yield Server(f"http://127.0.0.1:{port}/invocations", pid, lambda: pid)


def _answers(url: str, token: str | None) -> bool:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        return requests.post(url, data=_BODY, headers=headers, timeout=30).status_code == 200
    except requests.RequestException:
        return False


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def spread(values: list[float]) -> str:
    """Median with minimum and maximum."""
    return f"{statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"


def pss_mib(pids: list[int]) -> float:
    """Proportional set size: what processes share counts once."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")))
    return total / 1024


def read(server: Server, token: str | None, started: float) -> Reading:
    """Ask until there is an answer, then read the processes."""
    wait_for(lambda: _answers(server.url, token), 120, "the first answer", pause=0.01)
    seconds = time.monotonic() - started
    spent = cpu_seconds(tree_of(server.pid))
    time.sleep(SETTLED_SECONDS)
    return Reading(seconds, spent, pss_mib(tree_of(server.answering())))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--state", type=Path, help="A folder of `stagedoor up --demo --no-controller`, instead of a new one.")
    options = parser.parse_args()
    readings: dict[str, list[Reading]] = {}
    with tempfile.TemporaryDirectory(prefix="stagedoor-start-") as name:
        root = Path(name)
        if options.state is None:
            with console.status("making a state folder that has served before"):
                served_before(root / "state")
        else:
            shutil.copytree(options.state, root / "state")
        state = root / "state"
        token = json.loads((state / "endpoints.json").read_text())["tokens"]["predictor"]
        small = onnx_alone(state, root / "onnx")
        digest = json.loads((state / "serving" / "snapshot.json").read_text())["models"][MODEL]["versions"]["1"]["digest"]
        folder = state / "serving" / "store" / digest
        for _ in range(options.rounds):
            for what, make, key in (
                ("stagedoor, ONNX models", lambda: gateway(small, root), token),
                ("stagedoor, all the demo's models", lambda: gateway(state, root), token),
                ("mlflow models serve -w 2", lambda: mlflow(folder, root), None),
            ):
                started = time.monotonic()
                with make() as server:
                    readings.setdefault(what, []).append(read(server, key, started))
    report(readings)


def report(readings: dict[str, list[Reading]]) -> None:
    """Readings and shares of MLflow's."""
    theirs = readings["mlflow models serve -w 2"]
    start, held = (statistics.median(values) for values in ([r.seconds for r in theirs], [r.memory_mib for r in theirs]))
    rows = [
        (
            what,
            spread([r.seconds for r in runs]),
            f"{statistics.median(r.seconds for r in runs) / start:.2f}",
            spread([r.cpu_seconds for r in runs]),
            spread([r.memory_mib for r in runs]),
            f"{statistics.median(r.memory_mib for r in runs) / held:.2f}",
        )
        for what, runs in readings.items()
    ]
    columns = ["server", "first answer, s", "share", "CPU until then, s", "PSS, MiB", "share"]
    print_table("From the start to the first answer, and memory then", columns, rows)
    console.print("Targets: a third of MLflow's time with a warm snapshot, 60 % of its memory with the demo's models.")


if __name__ == "__main__":
    main()
