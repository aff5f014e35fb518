"""Three times what a server can do, open loop: what is accepted, what is shed, and what is left afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.contract import Peer, Workload
from rig import tree_of

from . import names
from .closed_loop import closed_loop
from .document import Missing, Overload
from .machine import pss_mb
from .open_loop import Found, drive
from .options import Effort
from .ours import until_right
from .rounds import CAPACITY_LEVEL, plan_for

TIMES = 3.0
LIGHT = 0.1
CONNECTIONS = 1500
"""More than the gateway lets wait: else the driver would wait in its place, and nothing be shed."""
SENT_AT_LEAST = 0.9
"""Where less than this part of what is wanted is sent in time, requests wait in the driver, and it measures itself."""
LIGHT_CONNECTIONS = 64
_CAPACITY_SECONDS = 2
_LOOK_SECONDS = 1.0
"""To add up a process's pages takes its time, and the machine's."""


def overload(peer: Peer, workload: Workload, logs: Path, effort: Effort) -> Overload | Missing:
    """Measure one server; Missing where the driver could not send that much."""
    with peer.start(workload, logs) as server:
        closed_loop(server, connections=CAPACITY_LEVEL, seconds=effort.warm_seconds)
        capacity = closed_loop(server, connections=CAPACITY_LEVEL, seconds=max(effort.seconds, _CAPACITY_SECONDS)).rate
        light = drive(plan_for(server, capacity * LIGHT, effort.light_seconds, LIGHT_CONNECTIONS))
        pids = tree_of(server.pid)
        before = pss_mb(pids)
        with _watched(pids) as during:
            found = drive(plan_for(server, capacity * TIMES, effort.overload_seconds, CONNECTIONS))
        began = time.monotonic()
        until_right(server, workload, pause=0.001, seconds=30)
        recovery = time.monotonic() - began
        time.sleep(1)
        after = pss_mb(tree_of(server.pid))
    if found.sent < SENT_AT_LEAST * found.wanted:
        return Missing(0, peer.name, names.overload_of(workload.name), _too_much(found))
    return Overload(
        run=0,
        server=peer.name,
        workload=workload.name,
        capacity=capacity,
        wanted=found.wanted,
        sent=found.sent,
        seconds=effort.overload_seconds,
        light_p50_us=light.ok_us[0],
        light_p99_us=light.ok_us[1],
        ok=found.ok / effort.overload_seconds,
        ok_p50_us=found.ok_us[0],
        ok_p99_us=found.ok_us[1],
        shed=found.shed / effort.overload_seconds,
        shed_p50_us=found.shed_us[0],
        shed_p99_us=found.shed_us[1],
        other=sum(found.other.values()) + found.broken,
        unanswered=found.unanswered,
        late_us=found.late_us[1],
        before_mb=before,
        during_mb=max(during, default=before),
        after_mb=after,
        recovery_ms=recovery * 1e3,
        ok_later_p99_us=found.ok_later_us[1],
        connections=CONNECTIONS,
        light_connections=LIGHT_CONNECTIONS,
    )


def _too_much(found: Found) -> str:
    lost = sum(found.other.values()) + found.broken
    return (
        f"the driver shares the machine, and takes {found.cpu_us:.0f} us of CPU a request: {found.wanted:,.0f}/s were due and"
        f" {found.sent:,.0f}/s sent in time over {CONNECTIONS:,} connections. In the end {found.ok:,} were accepted"
        f" (p99 {found.ok_us[1] / 1e3:,.0f} ms), {found.shed:,} got 503 with Retry-After, {lost:,} another answer or a failure,"
        f" and {found.unanswered:,} were not answered or never sent"
    )


@contextmanager
def _watched(pids: list[int]) -> Iterator[list[float]]:
    """Memory of these processes while the block runs, read again and again."""
    found: list[float] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(_LOOK_SECONDS):
            found.append(pss_mb(pids))

    thread = threading.Thread(target=look, name="memory")
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join(10)
