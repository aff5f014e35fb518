"""A whole prediction and its routing decision, in one process and without sockets, as the registry grows.

Each scenario is a worker of its own on a state folder of its own, as the gateway wires it; they take turns, and the least
time counts. As a process it reads JSON (the state folder to start from, the body, a folder to work in, repeats), and writes it.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import names
from .document import Inside

if TYPE_CHECKING:
    from serving.wiring import Worker
    from stagedoor.domain.snapshot import ModelEntry

MANY, HUNDRED, LOADED, ARMS = 5000, 100, 50, 100
CALLS = 25
_LIMIT_SECONDS = 240


def inside(state: Path, model: str, body: bytes, folder: Path, repeats: int) -> Iterator[Inside]:
    """Measure in a process of its own, from a state folder in which `model` is served.

    Raises RuntimeError and subprocess.TimeoutExpired.
    """
    asked = {"state": str(state), "model": model, "body": body.decode(), "folder": str(folder), "repeats": repeats}
    folder.mkdir(parents=True)
    with (folder / "log").open("wb") as log:  # the request log, as in a gateway
        told = subprocess.run(
            [sys.executable, "-m", f"{__package__}.inside"],
            cwd=Path(__file__).parents[__package__.count(".") + 1],
            input=json.dumps(asked).encode(),
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    if told.returncode:
        last = (folder / "log").read_text(errors="replace").splitlines()[-1:]
        raise RuntimeError(f"the process ended with {told.returncode}: {''.join(last)}")
    for row in json.loads(told.stdout.splitlines()[-1]):
        yield Inside(**row)


def entries(entry: ModelEntry) -> dict[str, dict[str, ModelEntry]]:
    """The models of each scenario, made from one that is served by two arms."""
    from stagedoor.domain.snapshot import ModelEntry

    def unserved(count: int) -> dict[str, ModelEntry]:
        return {name: ModelEntry(name) for name in (f"other-{number}" for number in range(count))}

    def copies(count: int) -> dict[str, ModelEntry]:
        return {name: replace(entry, name=name) for name in (f"{entry.name}-{number}" for number in range(count))}

    return {
        names.ONE: {entry.name: entry},
        names.HUNDRED: {entry.name: entry, **unserved(HUNDRED - 1)},
        names.MANY: {entry.name: entry, **unserved(MANY - 1)},
        names.LOADED: copies(LOADED),
        names.IN_TURN: copies(LOADED),
        names.ARMS: {entry.name: with_arms(entry, ARMS)},
    }


def with_arms(entry: ModelEntry, count: int) -> ModelEntry:
    """The same files as so many versions, with equal shares of the traffic."""
    from stagedoor.domain.traffic import WHOLE, Arm

    route = entry.route
    if route is None:
        raise ValueError("the model to start from is not served")
    ready = entry.versions[route.stable.version]
    versions = [str(number) for number in range(1, count + 1)]
    arms = tuple(Arm(f"arm-{version}", version, WHOLE // count) for version in versions)
    aliases = {arm.name: arm.version for arm in arms}
    known = {version: replace(ready, version=version) for version in versions}
    return replace(entry, aliases=aliases, versions=known, route=replace(route, arms=arms))


def _measure(asked: dict[str, Any]) -> list[dict[str, Any]]:
    from serving.snapshot_file import read_snapshot, write_snapshot
    from stagedoor.domain.snapshot import Snapshot
    from stagedoor.paths import StatePaths

    source, folder = StatePaths(Path(asked["state"])), Path(asked["folder"])
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "metrics")
    (folder / "metrics").mkdir()
    source_entry = read_snapshot(source.snapshot).models[asked["model"]]
    workers = []
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    for number, (scenario, models) in enumerate(entries(source_entry).items()):
        paths = StatePaths(folder / str(number))
        paths.store.parent.mkdir(parents=True)
        paths.store.symlink_to(source.store)
        write_snapshot(paths.snapshot, Snapshot(1, models))
        worker = _worker(paths.root)
        workers.append(worker)
        served = [name for name, entry in models.items() if entry.route]
        asked_for = served if scenario == names.IN_TURN else served[:1]
        calls[scenario, names.REQUEST] = _request(worker, asked_for, asked["body"].encode())
        calls[scenario, names.ROUTING] = _routing(worker, asked_for)
    found: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for _ in range(asked["repeats"]):
        for key, call in calls.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            found[key].append((time.perf_counter() - began) / CALLS * 1e6)
    for worker in workers:
        worker.stop()
    return [
        {"run": 0, "scenario": scenario, "what": what, "least_us": min(times), "median_us": statistics.median(times)}
        for (scenario, what), times in found.items()
    ]


def _worker(state: Path) -> Worker:
    os.environ["STAGEDOOR_STATE_DIR"] = str(state)
    from serving.wiring import build_worker

    worker = build_worker()
    worker.start()
    return worker


def _request(worker: Worker, models: list[str], body: bytes) -> Callable[[], object]:
    """One whole `Plane.predict` after another, over all served models in turn. Raises ValueError if one is not answered."""
    from asking import token_of

    from serving.http import Request

    token = token_of(worker.settings, "bench", "predictor")
    headers = (
        ("host", "127.0.0.1:8000"),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("authorization", f"Bearer {token}"),
    )
    requests = [Request("POST", f"/models/{name}/invocations", "", headers, body) for name in models]
    for request in requests:
        reply = worker.plane.predict(request)
        if reply.status != 200:
            raise ValueError(f"the gateway answered {reply.status}: {reply.body[:300]!r}")
    turns = itertools.cycle(requests)
    predict = worker.plane.predict
    return lambda: predict(next(turns))


@dataclass(slots=True)
class _Asker:
    """What routing reads of a request; as with the gateway's own, it is there before routing begins."""

    headers: dict[str, str]
    claims: dict[str, Any]
    draw: int
    at: float


def _routing(worker: Worker, models: list[str]) -> Callable[[], object]:
    """From the path to the version: what the target is, and which arm answers."""
    from serving.routing import choose
    from serving.targets import parse_target

    paths = itertools.cycle([f"/models/{name}/invocations" for name in models])
    draws = itertools.count(time.time_ns())
    asker = _Asker({}, {"sub": "bench"}, 0, time.time())
    pool = worker.pool

    def decide() -> object:
        asker.draw = next(draws)
        return choose(pool.view, parse_target(next(paths), "", None).ref, asker)

    return decide


if __name__ == "__main__":
    print(json.dumps(_measure(json.loads(sys.stdin.read()))))
