"""Servers take turns: in each round each gets the closed loop at every level, and the open loop at half of its own rate."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from peers.contract import Peer, Running, Workload
from rig import console, cpu_seconds, tree_of

from .closed_loop import Looped, closed_loop
from .document import Closed, Memory, Missing, Open, Row, Start
from .machine import pss_mb
from .open_loop import Plan, drive, request_bytes
from .options import Effort

LEVELS = (1, 16, 64)
CAPACITY_LEVEL = 16
SHARE = 0.5
RESTLESS = 0.05
"""A server that spends more of a core than this without any request is started only for its turns."""
_LOOK_SECONDS = 2.0
FAILURES = (OSError, RuntimeError, TimeoutError, ValueError, subprocess.SubprocessError)
"""What may become of a server: it does not start, ends, or answers nothing. It is reported as not measured then."""


@dataclass(eq=False)
class Contestant:
    """A server under measurement. `running` is None between the turns of one that is restless."""

    peer: Peer
    workload: Workload
    logs: Path
    running: Running | None = None
    restless: bool = False
    failed: str = ""
    stack: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> Iterator[Start]:
        """Start it for the first time, if it can be measured at all."""
        self.failed = self.peer.missing() or ""
        began = time.monotonic()
        if not self.failed:
            console.print(f"  {self.workload.name}: starting {self.peer.name}")
            self.start()
        if self.running:
            yield Start(0, self.peer.name, self.workload.name, time.monotonic() - began)

    def start(self) -> None:
        """Start it; on failure `failed` says why."""
        try:
            self.running = self.stack.enter_context(self.peer.start(self.workload, self.logs))
        except FAILURES as error:
            self.fail(error)

    def stop(self) -> None:
        """End it."""
        self.running = None
        self.stack.close()

    def fail(self, error: Exception) -> None:
        """Take it out of the contest."""
        self.failed = reason(error)
        console.print(f"  {self.workload.name}: {self.peer.name} is out: {self.failed}", style="red")
        self.stop()

    def missing(self) -> Missing:
        """Why it was not measured."""
        return Missing(0, self.peer.name, self.workload.name, self.failed)


def reason(error: Exception) -> str:
    """What went wrong, in one line that names no folder of this machine."""
    text = re.sub(r"(?<![\w:/.])(?:/[^\s/'\",;)]*)+/([^\s/'\",;)]*)", r"\1", str(error))
    return f"{type(error).__name__}: {' '.join(text.split())}"[:300]


def contest(
    peers: Sequence[Peer], workload: Workload, logs: Path, effort: Effort, *, levels: Sequence[int] = LEVELS
) -> Iterator[Row]:
    """Measure all of them, and how long they took to start."""
    contestants = [Contestant(peer, workload, logs) for peer in peers]
    try:
        for one in contestants:
            yield from one.begin()
        _calm_down([one for one in contestants if one.running])
        for number in range(effort.rounds):
            for one in contestants:
                yield from _turn(one, number, effort, levels)
        yield from (one.missing() for one in contestants if one.failed)
    finally:
        for one in contestants:
            one.stop()


def _calm_down(contestants: Sequence[Contestant]) -> None:
    """Find those that burn CPU without any request, and stop them until their turn."""
    time.sleep(_LOOK_SECONDS)
    trees = {one.peer.name: tree_of(one.running.pid) for one in contestants if one.running}
    before = {name: cpu_seconds(pids) for name, pids in trees.items()}
    time.sleep(_LOOK_SECONDS)
    for one in contestants:
        spent = cpu_seconds(trees[one.peer.name]) - before[one.peer.name]
        if spent > RESTLESS * _LOOK_SECONDS:
            one.restless = True
            console.print(f"  {one.peer.name} spends {spent / _LOOK_SECONDS:.0%} of a core at rest: started for its turns only")
            one.stop()


def _turn(one: Contestant, number: int, effort: Effort, levels: Sequence[int]) -> Iterator[Row]:
    if one.running is None and not one.failed:
        one.start()
    server = one.running
    if server is None:
        return
    try:
        rate = 0.0
        closed_loop(server, connections=CAPACITY_LEVEL, seconds=effort.warm_seconds)
        for level in levels:
            found = closed_loop(server, connections=level, seconds=effort.seconds)
            rate = found.rate if level == CAPACITY_LEVEL else rate
            console.print(f"  {one.workload.name} {number + 1}: {one.peer.name}, {level} connections: {_shown(found)}")
            yield Closed(
                0,
                one.peer.name,
                one.workload.name,
                level,
                number,
                found.rate,
                found.p50_us,
                found.p99_us,
                found.p999_us,
                found.cpu_us,
                found.done,
                found.failed,
            )
        if not rate:
            raise RuntimeError("it gave no good answer under load")
        yield _at_half(one, server, number, rate, effort.open_seconds)
        pids = tree_of(server.pid)
        yield Memory(0, one.peer.name, one.workload.name, pss_mb(pids), len(pids))
    except FAILURES as error:
        one.fail(error)
    if one.restless:
        one.stop()


def _shown(found: Looped) -> str:
    return f"{found.rate:,.0f}/s, p99 {found.p99_us:,.0f} us, CPU {found.cpu_us:,.0f} us, {found.failed} failed"


def _at_half(one: Contestant, server: Running, number: int, capacity: float, seconds: float) -> Open:
    found = drive(plan_for(server, capacity * SHARE, seconds))
    p50, p99, p999, longest = found.ok_us
    return Open(
        run=0,
        server=one.peer.name,
        workload=one.workload.name,
        round=number,
        share=SHARE,
        capacity=capacity,
        wanted=found.wanted,
        sent=found.sent,
        p50_us=p50,
        p99_us=p99,
        p999_us=p999,
        max_us=longest,
        late_us=found.late_us[1],
        done=found.done,
        failed=found.failed,
    )


def plan_for(server: Running, per_second: float, seconds: float, most_connections: int = 64) -> Plan:
    """Open-loop requests to `server`."""
    where = urlsplit(server.url)
    headers = {"Content-Type": server.content_type, **server.headers}
    request = request_bytes(server.url, server.body, headers).decode("latin-1")
    return Plan(str(where.hostname), int(where.port or 80), request, per_second, seconds, most_connections=most_connections)
