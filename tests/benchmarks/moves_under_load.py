"""100 alias moves back and forth under 200 requests a second, open loop: failures, and answers by a version not named.

An answer counts as by a version not named when the champion had not named it at any moment between ALLOWED seconds before
the request was due (the time a move may take to arrive everywhere) and the answer.

    python tests/benchmarks/moves_under_load.py [--moves 100] [--rate 200]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import time
from urllib.parse import urlsplit

from mlflow import MlflowClient
from rig import BREAST_CANCER, OpenLoop, Shot, percentile, print_table, raw_request, system

ALLOWED = 0.5
"""Seconds: the target for a move with a nudge."""

Span = tuple[str, float, float]


def named_between(spans: list[Span], start: float, end: float) -> set[str]:
    """Versions that the alias named at some moment of an interval."""
    return {version for version, begin, stop in spans if begin <= end and stop >= start}


def unnamed(shots: list[Shot], spans: list[Span]) -> list[Shot]:
    """Answers by a version that the alias did not name."""
    return [s for s in shots if s.status == 200 and s.version not in named_between(spans, s.due - ALLOWED, s.done)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200)
    options = parser.parse_args()
    with system() as running:
        os.environ["MLFLOW_TRACKING_TOKEN"] = running.tokens["promoter"]
        client = MlflowClient(tracking_uri=running.mlflow, registry_uri=running.mlflow)
        where = urlsplit(running.gateway)
        request = raw_request(f"/models/{BREAST_CANCER}/invocations", running.body(), running.tokens["predictor"], where.netloc)
        load = OpenLoop(str(where.hostname), int(where.port or 0), request, options.rate)
        sender = threading.Thread(target=lambda: asyncio.run(load.run(600)))
        spans: list[Span] = []
        current, since = "2", time.monotonic()
        sender.start()
        time.sleep(2)
        for number in range(options.moves):
            version = "3" if number % 2 == 0 else "2"
            asked = time.monotonic()
            client.set_registered_model_alias(BREAST_CANCER, "champion", version)
            spans.append((current, since, time.monotonic()))
            current, since = version, asked
            time.sleep(0.3)
        time.sleep(2)
        spans.append((current, since, time.monotonic() + 60))
        load.stopping = True
        sender.join(60)
    shots = load.shots
    failed = [s for s in shots if s.status != 200]
    strays = unnamed(shots, spans)
    latencies = [(s.done - s.due) * 1000 for s in shots]
    by_version = {v: sum(s.version == v for s in shots) for v in sorted({s.version for s in shots})}
    print_table(
        f"{options.moves} alias moves under {options.rate:g} requests/s, open loop",
        ["requests", "failed", "by a version not named", "answers by version", "p50 ms", "p99 ms"],
        [
            (
                len(shots),
                f"{len(failed)} (target 0)",
                f"{len(strays)} (target 0)",
                by_version,
                f"{percentile(latencies, 50):.2f}",
                f"{percentile(latencies, 99):.2f}",
            )
        ],
    )


if __name__ == "__main__":
    main()
