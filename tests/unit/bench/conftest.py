"""Readings to judge, without measuring anything."""

from collections.abc import Callable

import pytest

from tests.benchmarks.bench import names
from tests.benchmarks.bench.document import Closed, Document, Machine, Run, Server, add

Build = Callable[..., Document]
RUN = Run("2026-11-22 06:00 UTC", quick=False, rounds=3, seconds=3, load=0.1, changed=False, harness="abc1234")


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
