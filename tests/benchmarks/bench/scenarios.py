"""Registries of many models, loaded models and arms, each with a worker of its own on it, as the gateway wires it.

The workers' threads are stopped once all is loaded: they look for news and write by the clock, nine times as often as in a
gateway, since there are so many workers in one process. What they make of requests is made here by turns with them.

For the processes that bench.inside and bench.instructions start; those read what is asked of them as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import names

if TYPE_CHECKING:
    from serving.recorder import Recorder
    from serving.wiring import Worker
    from stagedoor.domain.snapshot import ModelEntry

MANY, HUNDRED = 5000, 100
_LOADING_SECONDS = 120.0
RATE: Final = 5_000.0
"""Requests/s of the worker that is imitated: two of them answer 10,000 to 12,000 of the small model's on two cores."""
PERIOD: Final = 1264
"""Requests of such a worker from one writing to the shared counters to the next: the least whole slices that take
longer than its `WRITE_SECONDS`."""
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
    """What one scenario costs is read from these. After `lead` of them, all models (arms) have been called about once.

    `request` is a whole prediction, whose metrics and log line `settle` makes; `model` is the model's session alone.
    """

    request: Call
    settle: Call
    routing: Call
    model: Call
    lead: int


class Recording:
    """Makes metrics and lines of what a worker has answered, as its event loop and its thread do under a load of `RATE`.

    So evidence is written slice by slice, lines as often as its thread wakes up, and all else once in `PERIOD` requests: when,
    is for the recorder itself to say.
    """

    def __init__(self, recorder: Recorder) -> None:
        """From now on nothing else makes them: the thread of `recorder` ends."""
        from serving.recorder import FLUSH_SECONDS, SLICE

        self._slice_seconds, self._flush_seconds = SLICE / RATE, FLUSH_SECONDS
        self._at = self._looked_at = 0.0
        self._soon: deque[Callable[[], None]] = deque()
        self._look_after = recorder.look_after
        recorder.stop()
        recorder.count_in_loop(self._soon.append, lambda: self._at)

    def settle(self) -> None:
        """Go through all whole slices that wait."""
        while self._soon:
            self._at += self._slice_seconds
            self._soon.popleft()()
            if self._at - self._looked_at > self._flush_seconds:
                self._looked_at = self._at
                self._look_after()


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
    """The calls of these scenarios, all of them loaded. Raises ValueError if a request is not answered, TimeoutError."""
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
    worker.pool.stop()
    return worker


def _calls(worker: Worker, scenario: str, models: Mapping[str, ModelEntry], body: bytes) -> Calls:
    served = [entry for entry in models.values() if entry.route]
    asked_for = served if "in turn" in scenario else served[:1]
    targets = [entry.name for entry in asked_for]
    lead = sum(len(entry.route.arms) for entry in asked_for if entry.route)
    settle = Recording(worker.recorder).settle
    return Calls(_request(worker, targets, body), settle, _routing(worker, targets), _model(worker, targets), lead)


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


def _model(worker: Worker, models: list[str]) -> Call:
    """One run of a session, with hardly anything around it, after another: all models in turn, then with their next arm."""
    import numpy as np

    from serving.values import Inputs

    loaded = [list(worker.pool.view.models[name].loaded.values()) for name in models]
    predictors = [version.predictor for arms in zip(*loaded, strict=True) for version in arms]
    (tensor,) = predictors[0].inputs
    row = Inputs("tensors", {tensor.name: np.zeros([max(size, 1) for size in tensor.shape], np.float32)}, 1)
    turns = itertools.cycle([predictor.predict for predictor in predictors])
    return lambda: next(turns)(row)


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
