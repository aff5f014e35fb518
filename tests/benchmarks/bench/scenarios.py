"""Registries of many models, loaded models and arms, each with a worker of its own on it, as the gateway wires it.

For the processes that bench.inside and bench.instructions start; those read what is asked of them as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import names

if TYPE_CHECKING:
    from serving.wiring import Worker
    from stagedoor.domain.snapshot import ModelEntry

MANY, HUNDRED = 5000, 100
_LOADING_SECONDS = 120.0
Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Asked:
    """What to measure: `model`, which is served by two arms from a state folder, with this body, so many times over."""

    state: Path
    model: str
    body: bytes
    repeats: int

    def to_json(self, folder: Path) -> bytes:
        """For a process that works in `folder`."""
        told = {"state": str(self.state), "model": self.model, "body": self.body.decode(), "repeats": self.repeats}
        return json.dumps({**told, "folder": str(folder)}).encode()


@dataclass(frozen=True, slots=True)
class Calls:
    """What one scenario costs is read from these. After `lead` of them, all models (arms) have been called about once."""

    request: Call
    routing: Call
    lead: int
    worker: Worker


def read_asked() -> tuple[Asked, Path]:
    """What this process was asked, and the folder to work in."""
    told: dict[str, Any] = json.loads(sys.stdin.read())
    return Asked(Path(told["state"]), told["model"], told["body"].encode(), told["repeats"]), Path(told["folder"])


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
        names.LOADED: copies(50),
        names.IN_TURN_10: copies(10),
        names.IN_TURN: copies(50),
        names.IN_TURN_200: copies(200),
        names.ARMS_20: {entry.name: with_arms(entry, 20)},
        names.ARMS: {entry.name: with_arms(entry, 100)},
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


@contextmanager
def started(asked: Asked, folder: Path, scenarios: tuple[str, ...]) -> Iterator[Mapping[str, Calls]]:
    """The calls of these scenarios; all workers run. Raises ValueError if a request is not answered, TimeoutError."""
    from serving.snapshot_file import read_snapshot, write_snapshot
    from stagedoor.domain.snapshot import Snapshot
    from stagedoor.paths import StatePaths

    source = StatePaths(asked.state)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "metrics")
    (folder / "metrics").mkdir()
    all_models = entries(read_snapshot(source.snapshot).models[asked.model])
    workers: list[Worker] = []
    calls: dict[str, Calls] = {}
    try:
        for number, scenario in enumerate(scenarios):
            paths = StatePaths(folder / str(number))
            paths.store.parent.mkdir(parents=True)
            paths.store.symlink_to(source.store)
            write_snapshot(paths.snapshot, Snapshot(1, all_models[scenario]))
            workers.append(_worker(paths.root))
            calls[scenario] = _calls(workers[-1], scenario, all_models[scenario], asked.body)
        yield calls
    finally:
        for worker in workers:
            worker.stop()


def _worker(state: Path) -> Worker:
    os.environ["STAGEDOOR_STATE_DIR"] = str(state)
    from rig import wait_for

    from serving.wiring import build_worker

    worker = build_worker()
    worker.start()
    # A gateway begins to answer before all is loaded; what loads while others are measured would be measured with them.
    wait_for(lambda: worker.pool.view.serial, _LOADING_SECONDS, "the loading of all versions")
    return worker


def _calls(worker: Worker, scenario: str, models: Mapping[str, ModelEntry], body: bytes) -> Calls:
    served = [entry for entry in models.values() if entry.route]
    asked_for = served if "in turn" in scenario else served[:1]
    targets = [entry.name for entry in asked_for]
    lead = sum(len(entry.route.arms) for entry in asked_for if entry.route)
    return Calls(_request(worker, targets, body), _routing(worker, targets), lead, worker)


def _request(worker: Worker, models: list[str], body: bytes) -> Call:
    """One whole `Plane.predict` after another, over all these models in turn. Raises ValueError if one is not answered."""
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


def _routing(worker: Worker, models: list[str]) -> Call:
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
