"""Readings to judge, without measuring anything."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.benchmarks.bench import names
from tests.benchmarks.bench.document import Closed, Document, Machine, Overload, Run, Server, add

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
IMPORT_THE_RIG = {f"tests.benchmarks.bench.{name}" for name in ("closed_loop", "rounds")}
Build = Callable[..., Document]
RUN = Run("2026-11-22 06:00 UTC", quick=False, rounds=3, seconds=3, load=0.1, changed=False, harness="abc1234")
CALM = Overload(
    run=0,
    server=names.OURS,
    workload=names.MLP,
    capacity=1000,
    wanted=3000,
    sent=3000,
    seconds=10,
    light_p50_us=900,
    light_p99_us=1000,
    ok=1000,
    ok_p50_us=1500,
    ok_p99_us=3000,
    shed=2000,
    shed_p50_us=100,
    shed_p99_us=200,
    other=0,
    unanswered=0,
    late_us=50,
    before_mb=100,
    during_mb=110,
    after_mb=105,
    recovery_ms=2,
)


def empty() -> Document:
    return Document(Machine("a processor", 2, 16.0, "6.1", "3.11.7", {"gunicorn": "26.2.0"}), "abc1234", runs=(RUN,))


def closed(server: str, workload: str = names.LINEAR, connections: int = 16, number: int = 0, **fields: float) -> Closed:
    given = {"rate": 100.0, "p50_us": 100.0, "p99_us": 200.0, "p999_us": 300.0, "cpu_us": 50.0, "done": 300, "failed": 0}
    return Closed(0, server, workload, connections, number, **{**given, **fields})  # type: ignore[arg-type]


@pytest.fixture
def with_rates() -> Build:
    """A document with one reading for each server, at these rates."""

    def build(workload: str = names.LINEAR, connections: int = 16, **rates: float) -> Document:
        rows = [closed(server.replace("_", "-"), workload, connections, rate=rate) for server, rate in rates.items()]
        servers = {row.server: Server("1.0") for row in rows}
        return add(Document(**{**{f: getattr(empty(), f) for f in Document.__slots__}, "servers": servers}), *rows)

    return build


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The harness imports what lies beside it, as when it is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"rig", "peers"} or name in IMPORT_THE_RIG:
            del sys.modules[name]
