"""Servers take turns of a second: in each round all get one level of the closed loop, then all the next one.

The open loop, at half of each one's own rate, comes last. What cannot stay up beside others does its round alone.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from peers.contract import Peer, Running, Workload
from rig import TICKS, console, cpu_seconds

from .closed_loop import Looped, closed_loop, parts_of, processes_of
from .document import Closed, Memory, Missing, Open, Row, Start
from .machine import pss_mb
from .open_loop import Plan, drive, request_bytes
from .options import Effort
from .stints import order, stint_seconds

LEVELS = (1, 16, 64)
CAPACITY_LEVEL = 16
SHARE = 0.5
RESTLESS = 0.05
"""A server that spends more of a core than this without any request, for each wrk, is started only for its turns."""
_LOOK_SECONDS = 2.0
_REST_SECONDS, _MOST_REST_SECONDS = 0.05, 5.0
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
    pace: float = 0.0
    """Requests/s of this round's warming up, at `CAPACITY_LEVEL`."""
    capacity: float = 0.0
    """Requests/s of this round at `CAPACITY_LEVEL`."""
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

    def drive(self, server: Running, connections: int, seconds: int) -> Looped:
        """Closed loop, and the end of what that has left to do: the next one shall have the machine."""
        found = closed_loop(server, connections=connections, seconds=seconds)
        self.come_to_rest(server)
        return found

    def come_to_rest(self, server: Running) -> None:
        """Wait until requests whose driver has gone are worked off; a restless one never rests, and has no one beside it."""
        deadline = time.monotonic() + _MOST_REST_SECONDS
        pids = [] if self.restless else processes_of(server)
        while pids and time.monotonic() < deadline:
            before = cpu_seconds(pids)
            time.sleep(_REST_SECONDS)
            if cpu_seconds(pids) - before <= 1 / TICKS:
                return

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
    peers: Sequence[Peer],
    workload: Workload,
    logs: Path,
    effort: Effort,
    *,
    levels: Sequence[int] = LEVELS,
    at_half: bool = True,
) -> Iterator[Row]:
    """Measure all of them, and how long they took to start. `levels` contain `CAPACITY_LEVEL`; `at_half` is the open loop."""
    contestants = [Contestant(peer, workload, logs) for peer in peers]
    try:
        for one in contestants:
            yield from one.begin()
        _calm_down([one for one in contestants if one.running])
        for number in range(effort.rounds):
            yield from _round([one for one in contestants if not one.restless], number, effort, levels, at_half=at_half)
            for one in order([one for one in contestants if one.restless], number):
                yield from _alone(one, number, effort, levels, at_half=at_half)
        yield from (one.missing() for one in contestants if one.failed)
    finally:
        for one in contestants:
            one.stop()


def _calm_down(contestants: Sequence[Contestant]) -> None:
    """Find those that burn CPU without any request, and stop them until their turn."""
    time.sleep(_LOOK_SECONDS)
    trees = {one.peer.name: processes_of(one.running) for one in contestants if one.running}
    before = {name: cpu_seconds(pids) for name, pids in trees.items()}
    time.sleep(_LOOK_SECONDS)
    for one in contestants:
        spent = (cpu_seconds(trees[one.peer.name]) - before[one.peer.name]) / _LOOK_SECONDS
        if one.running and spent > RESTLESS * len(parts_of(one.running)):
            one.restless = True
            console.print(f"  {one.peer.name} spends {spent:.0%} of a core at rest: started for its turns only")
            one.stop()


def _alone(one: Contestant, number: int, effort: Effort, levels: Sequence[int], *, at_half: bool) -> Iterator[Row]:
    """A round of one that runs for it only."""
    if not one.failed:
        one.start()
    yield from _round([one], number, effort, levels, at_half=at_half)
    one.stop()


def _round(
    contestants: Sequence[Contestant], number: int, effort: Effort, levels: Sequence[int], *, at_half: bool
) -> Iterator[Row]:
    """One level after another, each of all that run."""
    for place, level in enumerate(levels):
        for one in order(contestants, number + place):
            yield from _stint(one, partial(_closed, number=number, level=level, effort=effort, warm=not place))
    for one in order(contestants, number + len(levels)):
        yield from _stint(one, partial(_last, number=number, seconds=effort.open_seconds_in(number) if at_half else 0.0))


def _stint(one: Contestant, measure: Callable[[Contestant, Running], Iterator[Row]]) -> Iterator[Row]:
    """What `measure` finds, if it runs; one that fails is out."""
    if one.running is None:
        return
    try:
        yield from measure(one, one.running)
    except FAILURES as error:
        one.fail(error)


def _closed(one: Contestant, server: Running, *, number: int, level: int, effort: Effort, warm: bool) -> Iterator[Closed]:
    if warm:
        one.pace, one.capacity = one.drive(server, CAPACITY_LEVEL, effort.warm_seconds).rate, 0.0
    found = one.drive(server, level, stint_seconds(effort.seconds, level, one.pace))
    if level == CAPACITY_LEVEL:
        one.capacity = found.rate
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


def _last(one: Contestant, server: Running, *, number: int, seconds: float) -> Iterator[Row]:
    """The open loop, if it has any seconds, and the memory after all that."""
    if not one.capacity:
        raise RuntimeError("it gave no good answer under load")
    if seconds:
        yield _at_half(one, server, number, seconds)
        one.come_to_rest(server)
    pids = processes_of(server)
    yield Memory(0, one.peer.name, one.workload.name, pss_mb(pids), len(pids))


def _shown(found: Looped) -> str:
    return f"{found.rate:,.0f}/s, p99 {found.p99_us:,.0f} us, CPU {found.cpu_us:,.0f} us, {found.failed} failed"


def _at_half(one: Contestant, server: Running, number: int, seconds: float) -> Open:
    found = drive(plan_for(server, one.capacity * SHARE, seconds))
    p50, p99, p999, longest = found.ok_us
    return Open(
        run=0,
        server=one.peer.name,
        workload=one.workload.name,
        round=number,
        share=SHARE,
        capacity=one.capacity,
        wanted=found.wanted,
        sent=found.sent,
        p50_us=p50,
        p99_us=p99,
        p999_us=p999,
        max_us=longest,
        late_us=found.late_us[1],
        done=found.done,
        failed=found.failed,
        late_p999_us=found.late_us[2],
    )


def plan_for(server: Running, per_second: float, seconds: float, most_connections: int = 64) -> Plan:
    """Open-loop requests to `server`."""
    where = urlsplit(server.url)
    headers = {"Content-Type": server.content_type, **server.headers}
    request = request_bytes(server.url, server.body, headers).decode("latin-1")
    return Plan(str(where.hostname), int(where.port or 80), request, per_second, seconds, most_connections=most_connections)
