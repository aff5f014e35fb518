"""How long after an alias moved every worker serves the new version: 100 moves by polling alone, 100 with a nudge.

python tests/benchmarks/promotion_latency.py [--moves 100]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from mlflow import MlflowClient
from rig import BREAST_CANCER, System, percentile, print_table, system

TARGETS = {"polling": 1.5, "nudge": 0.5}


def everywhere(running: System, version: str) -> bool:
    """Whether each worker routes the model's plain name to `version`."""
    workers = running.workers()
    return bool(workers) and all(route_versions(worker) == [version] for worker in workers)


def route_versions(worker: dict[str, Any]) -> list[str]:
    """The versions in a worker's route of the demo model."""
    model = worker.get("models", {}).get(BREAST_CANCER, {})
    return [str(version) for version in model.get("route", [])]


def measure(running: System, client: MlflowClient, moves: int) -> list[float]:
    """Seconds from the alias move's answer to the last worker's switch, for each move."""
    seconds = []
    for number in range(moves):
        version = "3" if number % 2 == 0 else "2"
        client.set_registered_model_alias(BREAST_CANCER, "champion", version)
        moved = time.monotonic()
        while not everywhere(running, version):
            if time.monotonic() - moved > 30:
                raise TimeoutError(f"version {version} is not live everywhere 30 s after the move; {running.workers()}")
            time.sleep(0.002)
        seconds.append(time.monotonic() - moved)
        time.sleep(0.137 * (number % 7) / 3)  # moves fall anywhere between two polls
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=100)
    moves = parser.parse_args().moves
    rows = []
    with system() as running:
        import os

        os.environ["MLFLOW_TRACKING_TOKEN"] = running.tokens["promoter"]
        clients = {
            # Written straight into the registry's database: no server sees it, so nobody sends a nudge.
            "polling": MlflowClient(tracking_uri=running.registry_store, registry_uri=running.registry_store),
            "nudge": MlflowClient(tracking_uri=running.mlflow, registry_uri=running.mlflow),
        }
        for how, client in clients.items():
            seconds = measure(running, client, moves)
            p99 = percentile(seconds, 99)
            verdict = "met" if p99 <= TARGETS[how] else "MISSED"
            rows.append(
                (how, moves, f"{percentile(seconds, 50):.3f}", f"{p99:.3f}", f"{max(seconds):.3f}", f"{TARGETS[how]} {verdict}")
            )
    print_table(
        "Alias moved until every worker serves the new version, seconds",
        ["how", "moves", "p50", "p99", "max", "target p99"],
        rows,
    )


if __name__ == "__main__":
    main()
