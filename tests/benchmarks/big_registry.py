"""A registry of 2,000 models x 3 versions, of which 5 are served: what a poll costs, and what it does to requests.

Requests come open loop at a fixed rate, in interleaved rounds with polling on (every second) and practically off (every hour);
only the resolver is started anew between rounds. All but the served models are written straight into MLflow's database.

    python tests/benchmarks/big_registry.py [--models 2000] [--rate 200] [--rounds 4] [--seconds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rig import OpenLoop, cpu_seconds, free_port, percentile, print_table, process, raw_request, tree_of, wait_for

from serving.snapshot_file import Heartbeat, read_heartbeat, read_snapshot
from stagedoor.auth import issue_token
from stagedoor.local import specs
from stagedoor.local.house import answers
from stagedoor.local.process import Spec
from stagedoor.paths import StatePaths
from stagedoor.registry.mlflow_registry import MLflowRegistry
from stagedoor.settings import Settings

SERVED = tuple(f"served-{number}" for number in range(5))
VERSIONS = 3
ON, OFF = "1", "3600"
POLL_TARGET, P99_TARGET = 1.0, 1.3


@dataclass(frozen=True)
class Site:
    """MLflow and a gateway; the resolver comes and goes."""

    paths: StatePaths
    mlflow: str
    gateway: str
    token: str
    mlflow_pid: int

    def heartbeat(self) -> Heartbeat | None:
        """What the resolver wrote last."""
        return read_heartbeat(self.paths.heartbeat)

    @contextmanager
    def resolver(self, poll_seconds: str) -> Iterator[int]:
        """A resolver that has read the registry once and come to rest."""
        spec = specs.resolver(self.paths, self.mlflow)
        started = time.time()
        env = {**spec.environment, "STAGEDOOR_POLL_SECONDS": poll_seconds}
        with process(spec.command, env=env, log=self.paths.root / "resolver.log", cwd=self.paths.root) as pid:
            wait_for(lambda: (beat := self.heartbeat()) and (beat.succeeded_at or 0) > started, 60, "the first read")
            time.sleep(3)
            yield pid


def launch(stack: ExitStack, spec: Spec) -> int:
    """Start it in a folder that exists, and wait until it answers."""
    spec.folder.mkdir(parents=True, exist_ok=True)
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    pid = stack.enter_context(process(spec.command, env=dict(spec.environment), log=spec.log, cwd=spec.folder))
    wait_for(lambda: answers(spec.ready_url), 120, spec.name)
    return pid


@contextmanager
def site(models: int) -> Iterator[tuple[Site, bytes]]:
    """The whole site, with a body that the served models take."""
    paths = StatePaths(Path(tempfile.mkdtemp(prefix="stagedoor-bench-")))
    try:
        with ExitStack() as stack:
            mlflow_port, gateway_port = free_port(), free_port()
            mlflow, gateway = (f"http://127.0.0.1:{port}" for port in (mlflow_port, gateway_port))
            token = issue_token(
                Settings(state_dir=paths.root), subject="bench", roles=("promoter", "predictor"), models=("*",), now=time.time()
            )
            key = specs.webhook_key(paths)
            pid = launch(stack, specs.mlflow_server(paths, "127.0.0.1", mlflow_port, webhook_key=key))
            found = Site(paths, mlflow, gateway, token, pid)
            body = register_served(found)
            fill(paths.mlflow / "mlflow.db", models - len(SERVED))
            with found.resolver(ON):
                wait_for(lambda: live(paths) == set(SERVED), 120, "the served models to be live")
            launch(stack, specs.gateway(paths, mlflow, "127.0.0.1", gateway_port, 2))
            yield found, body
    finally:
        shutil.rmtree(paths.root, ignore_errors=True)


def live(paths: StatePaths) -> set[str]:
    """Models that have a route and nothing still on its way."""
    if not paths.snapshot.exists():
        return set()
    entries = read_snapshot(paths.snapshot).models.values()
    return {e.name for e in entries if e.route and all(v.state == "ready" for v in e.versions.values())}


def register_served(where: Site) -> bytes:
    """Log a small ONNX model for each of the served names, in three versions; champion is the second."""
    import mlflow
    import numpy as np
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    os.environ["MLFLOW_TRACKING_TOKEN"] = where.token
    mlflow.set_tracking_uri(where.mlflow)
    data = np.random.default_rng(1).normal(size=(200, 30)).astype("float32")
    fitted = LogisticRegression().fit(data, data[:, 0] > 0)
    onnx = to_onnx(fitted, data[:1], options={"zipmap": False})
    client = mlflow.MlflowClient()
    with mlflow.start_run():
        logged = mlflow.onnx.log_model(onnx, name="model", signature=mlflow.models.infer_signature(data[:5]))
    for name in SERVED:
        for _ in range(VERSIONS):
            mlflow.register_model(logged.model_uri, name)
        client.set_registered_model_alias(name, "champion", "2")
    values = ", ".join(f"{value:.6f}" for value in data[0])
    return f'{{"inputs": [[{values}]]}}'.encode()


def fill(database: Path, models: int) -> None:
    """Write models that nobody serves, with three versions, a stage and tags each, as MLflow would have."""
    with sqlite3.connect(database, timeout=60) as connection:
        now = int(time.time() * 1000)
        names = [f"model-{number:05d}" for number in range(models)]
        versions = [(name, number) for name in names for number in range(1, VERSIONS + 1)]
        connection.executemany(
            "INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES (?, ?, ?, ?)",
            [(name, now, now, "Made for a benchmark.") for name in names],
        )
        connection.executemany(
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, user_id, current_stage, source,"
            " run_id, status) VALUES (?, ?, ?, ?, 'bench', ?, ?, ?, 'READY')",
            [
                (
                    name,
                    number,
                    now,
                    now,
                    "Archived" if number == 1 else "None",
                    f"mlflow-artifacts:/0/{name}/{number}",
                    f"{number:032x}",
                )
                for name, number in versions
            ],
        )
        connection.executemany(
            "INSERT INTO registered_model_tags (key, value, name) VALUES (?, ?, ?)",
            [(key, "some text of a team", name) for name in names for key in ("team", "purpose")],
        )
        connection.executemany(
            "INSERT INTO model_version_tags (key, value, name, version) VALUES ('stagedoor.sha256', ?, ?, ?)",
            [("0" * 64, name, number) for name, number in versions],
        )
    connection.close()


def direct_reads(where: Site, times: int) -> dict[str, list[float]]:
    """Seconds of the adapter's two kinds of reads, in turns, while no resolver runs."""
    registry = MLflowRegistry(where.mlflow, timeout=30, token=lambda: where.token)
    seconds: dict[str, list[float]] = {"page": [], "by name": []}
    following = ""
    for _ in range(times):
        begun = time.perf_counter()
        following = registry.models(page=following).next
        seconds["page"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        registry.models(SERVED)
        seconds["by name"].append(time.perf_counter() - begun)
    return seconds


def polls(where: Site, seconds: float) -> list[float]:
    """What the heartbeats say of every read that begins within so many seconds."""
    found: dict[float, float] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        beat = where.heartbeat()
        if beat is not None and beat.error is None:
            found[beat.attempted_at] = beat.read_seconds
        time.sleep(0.01)
    return list(found.values())


def latencies(where: Site, body: bytes, rate: float, seconds: float) -> list[float]:
    """Milliseconds from when each request was due to its answer. Raises RuntimeError if one fails."""
    at = urlsplit(where.gateway)
    request = raw_request(f"/models/{SERVED[0]}/invocations", body, where.token, at.netloc)
    load = OpenLoop(str(at.hostname), int(at.port or 0), request, rate)
    asyncio.run(load.run(seconds))
    failed = [shot.status for shot in load.shots if shot.status != 200]
    if failed:
        raise RuntimeError(f"{len(failed)} requests failed, with status {sorted(set(failed))}")
    return [(shot.done - shot.due) * 1000 for shot in load.shots]


def row(what: str, seconds: list[float], verdict: str = "") -> tuple[str, ...]:
    """A line of the table of reads."""
    if not seconds:
        return (what, "0", "", "", "", verdict)
    numbers = (percentile(seconds, 50), percentile(seconds, 99), max(seconds))
    return (what, str(len(seconds)), *(f"{number:.3f}" for number in numbers), verdict)


def report_polls(where: Site, seconds: float) -> None:
    """How long reads take, and what they cost in CPU, while nobody asks for predictions."""
    direct = direct_reads(where, 40)
    with where.resolver(ON) as resolver:
        groups = {"MLflow": tree_of(where.mlflow_pid), "resolver": tree_of(resolver)}
        before = {name: cpu_seconds(pids) for name, pids in groups.items()}
        begun = time.monotonic()
        found = polls(where, seconds)
        took = time.monotonic() - begun
        cpu = {name: (cpu_seconds(pids) - before[name]) / took for name, pids in groups.items()}
    verdict = f"{POLL_TARGET:g} {'met' if found and max(found) <= POLL_TARGET else 'MISSED'}"
    rows = [
        row(f"every poll in {seconds:g} s, by heartbeat", found, verdict),
        row("the adapter alone, a page of all models", direct["page"]),
        row("the adapter alone, served ones by name", direct["by name"]),
    ]
    print_table("Reading the registry, seconds", ["what", "reads", "p50", "p99", "max", "target max"], rows)
    print_table("CPU while polling, share of one core", list(cpu), [[f"{share:.1%}" for share in cpu.values()]])


def report_requests(where: Site, body: bytes, rate: float, rounds: int, seconds: float) -> None:
    """Requests with polling on beside requests with polling off."""
    latencies(where, body, rate, 5)  # warm
    p50: dict[str, list[float]] = {ON: [], OFF: []}
    p99: dict[str, list[float]] = {ON: [], OFF: []}
    for number in range(rounds):
        for poll in (ON, OFF) if number % 2 == 0 else (OFF, ON):
            with where.resolver(poll):
                found = latencies(where, body, rate, seconds)
            p50[poll].append(percentile(found, 50))
            p99[poll].append(percentile(found, 99))
    ratio = statistics.median(p99[ON]) / statistics.median(p99[OFF])
    verdict = f"{ratio:.2f} (target {P99_TARGET:g} {'met' if ratio <= P99_TARGET else 'MISSED'})"
    rows = [
        (f"every {poll} s", _fine(p50[poll]), _fine(p99[poll]), ratio_text) for poll, ratio_text in ((ON, verdict), (OFF, ""))
    ]
    print_table(
        f"{rate:g} requests/s, open loop, {rounds} rounds of {seconds:g} s each, median (min to max)",
        ["polling", "p50 ms", "p99 ms", "p99 against off"],
        rows,
    )


def _fine(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.2f}", file=sys.stderr)
    with site(options.models) as (where, body):
        report_polls(where, 60)
        report_requests(where, body, options.rate, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
