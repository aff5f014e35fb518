"""A plane over versions that behave as they are told. Codecs, signatures, routing, threads and counters are the real ones."""

import io
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from serving.books import Books
from serving.http import Reply, Request
from serving.loading.version import Version
from serving.plane import Plane
from serving.pool import LiveModel, View
from serving.recorder import Recorder
from serving.schema import compile_signature
from serving.shadow import Shadow
from serving.units import UnitBook
from serving.values import UNNAMED, Inputs, Outputs
from stagedoor import names
from stagedoor.auth import Principal, Recognised
from stagedoor.domain.snapshot import ModelEntry
from stagedoor.domain.traffic import Arm, Route
from stagedoor.domain.tuning import PLAIN, Tuning
from stagedoor.settings import Settings

TIMEOUT = 0.4
POISON = 666.0
EVERYTHING = 9_999
"""Basis points of a candidate that gets all traffic but the least share; the units of tests are chosen to fall to it."""

_names = (f"model{number}" for number in itertools.count())
Behaviour = Callable[[Inputs], Outputs]


def twice(inputs: Inputs) -> Outputs:
    return Outputs.of_array(inputs.arrays[UNNAMED] * 2.0)


def raises(inputs: Inputs) -> Outputs:
    raise ValueError("cannot stand it")


def times_out_itself(inputs: Inputs) -> Outputs:
    raise TimeoutError


def exits(inputs: Inputs) -> Outputs:
    raise SystemExit(1)


def not_finite(inputs: Inputs) -> Outputs:
    return Outputs.of_array(np.array([np.nan]))


def unwritable(inputs: Inputs) -> Outputs:
    return Outputs("json", value={"number": object()})


class Hang:
    """Does not answer until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self._inside: set[int] = set()

    def __call__(self, inputs: Inputs) -> Outputs:
        self._inside.add(threading.get_ident())
        self.let_go.wait(20)
        self._inside.discard(threading.get_ident())
        return twice(inputs)

    @property
    def running(self) -> int:
        return len(self._inside)


class Behaving:
    inputs = outputs = ()

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def predict(self, inputs: Inputs) -> Outputs:
        return self._behaviour(inputs)


def version(number: str, behaviour: Behaviour, *, quick: bool = True, width: int = 1, **changes: Any) -> Version:
    """A version of tensors `[n, width]`."""
    spec = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, width]}}]
    plain = Version("m", number, "d", "onnx", Behaving(behaviour), compile_signature(spec, None, None), quick, 1e-5, 0)
    return replace(plain, **changes)


class Everybody:
    """Whoever says nothing is a tester and predictor; else the header says which roles."""

    def __init__(self) -> None:
        self.asked = 0
        self.generation = 0

    def recognise(self, authorization: str | None, *, now: float, remote: str = "") -> Recognised:
        self.asked += 1
        roles = frozenset((authorization or "tester predictor").split())
        return Recognised(Principal("ann", roles, ("*",), 2e9, {"sub": "ann"}), 2e9, self.generation)

    def still_holds(self, found: Recognised, now: float) -> bool:
        return found.generation == self.generation


class Stage:
    """One model under one route."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(
            state_dir=folder, **({"predict_timeout_seconds": TIMEOUT, "threads": 2, "queue_limit": 4} | settings)
        )
        self.log = io.BytesIO()
        self.recorder = Recorder(self.log, UnitBook(folder / "units"))
        self.shadow = Shadow(TIMEOUT)
        self.door = Everybody()
        self.plane = Plane(self.settings, self.door, self, Books(self.recorder), self.shadow)  # type: ignore[arg-type]
        self.name = ""
        self.view = View(0, MappingProxyType({}))

    def set(
        self, route: Route, *versions: Version, stale: bool = False, name: str | None = None, tuning: Tuning = PLAIN
    ) -> None:
        """Put `route` in force under a name of its own, so that its counters start from nothing."""
        self.name = name or next(_names)
        live = LiveModel(ModelEntry(self.name, route=route, tuning=tuning), {version.version: version for version in versions})
        self.view = View(3, MappingProxyType({self.name: live}), stale)

    def load(self, name: str, version: str, deadline_seconds: float) -> Version:
        raise AssertionError("no test here waits for a version")

    def ask(self, data: Any = ((1.0,),), *, path: str = "", **headers: str) -> Reply:
        body = json.dumps({"inputs": data}).encode()
        return self.send(path or f"/models/{self.name}/invocations", body, **headers)

    def send(self, path: str, body: bytes, **headers: str) -> Reply:
        given = (("content-type", "application/json"), *((k.replace("_", "-"), v) for k, v in headers.items()))
        return self.plane.predict(Request("POST", path, "", given, body))

    def count(self, metric: str, **labels: str) -> float:
        self.recorder.flush()
        found = 0.0
        for family in REGISTRY.restricted_registry([metric]).collect():
            for sample in family.samples:
                wanted = {"model": self.name, **labels}
                if sample.name == metric and wanted.items() <= sample.labels.items():
                    found += sample.value
        return found

    def outcomes(self, **labels: str) -> dict[str, float]:
        kinds = ("ok", "client_error", "model_error", "invalid_output", "timeout", "overload", "internal_error")
        counted = {kind: self.count(names.METRIC_PREDICTIONS, outcome=kind, **labels) for kind in kinds}
        return {kind: number for kind, number in counted.items() if number}

    def assigned(self, **labels: str) -> float:
        return self.count(names.METRIC_ASSIGNED, **labels)

    def lines(self) -> list[dict[str, Any]]:
        self.recorder.flush()
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def on_trial(weight: int = EVERYTHING, **changes: Any) -> Route:
    """A route whose candidate, version 2, has `weight`; watched and shielded unless `changes` say otherwise."""
    arms = (Arm("champion", "1", 10_000 - weight), Arm(names.ARM_CANDIDATE, "2", weight))
    return Route(**({"epoch": 7, "arms": arms, "salt": b"salt", "issued": True, "watched": True, "shield": True} | changes))


ONLY = Route(7, (Arm("champion", "1", 10_000),), b"salt")
"""A route that asks for an answer and nothing else."""


def headers_of(reply: Reply) -> dict[str, str]:
    return dict(reply.headers)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.plane.close()


@pytest.fixture
def hang() -> Iterator[Hang]:
    made = Hang()
    yield made
    made.let_go.set()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Wait for a condition; False if it does not come in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return False


# --- crowds ---


class Gate:
    """Answers nobody until it is opened, and notes how many rows each prediction had. One row of POISON spoils them all."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.opened = threading.Event()

    def __call__(self, inputs: Inputs) -> Outputs:
        self.rows.append(inputs.rows)
        self.opened.wait(20)
        if (inputs.arrays[UNNAMED] == POISON).any():
            raise ValueError("poison")
        return twice(inputs)


class Crowd:
    """Callers that wait for their answers, each in a thread of their own."""

    def __init__(self, stage: Stage, threads: ThreadPoolExecutor) -> None:
        self._stage = stage
        self._threads = threads

    def ask(self, data: Any = ((1.0,),), **headers: str) -> "Future[Reply]":
        return self._threads.submit(self._stage.ask, data, **headers)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Stage]:
    """A stage on which nobody loses patience."""
    made = Stage(tmp_path, predict_timeout_seconds=20.0, model_queue_milliseconds=60_000.0)
    yield made
    made.plane.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(24) as pool:
        yield pool


@pytest.fixture
def crowd(patient: Stage, threads: ThreadPoolExecutor, gate: Gate) -> Crowd:
    return Crowd(patient, threads)


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, model_queue_milliseconds=60_000.0)
    yield made
    made.plane.close()


def waiting(stage: Stage, one: Version, tuning: Tuning) -> int:
    batcher = stage.plane._crew._stable.batchers.of(one, tuning)  # noqa: SLF001  nobody else says how many wait
    assert batcher is not None
    return batcher.waiting_rows


def on_their_way(stage: Stage, one: Version, tuning: Tuning, *, trial: bool = False) -> int:
    """How many have reached the version and have no answer yet; `trial`: its route has another one stand by."""
    quarters = stage.plane._crew._trial if trial else stage.plane._crew._stable  # noqa: SLF001  as above
    batcher = quarters.batchers.of(one, tuning)
    return quarters.solos.of(one).on_their_way if batcher is None else 1 + batcher.waiting_rows


def adds_up(stage: Stage) -> bool:
    ends = stage.outcomes()
    ends.pop("client_error", None)
    return sum(ends.values()) == stage.assigned()


def numbers(reply: Reply) -> Any:
    return json.loads(reply.body)["predictions"]
