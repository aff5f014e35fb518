"""Everything there is to measure, part by part. Each part gives its readings as soon as it is through."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from peers.contract import Peer, Running, Workload
from peers.every import PEERS
from peers.workloads import make_workloads
from rig import ROOT, console, system, tree_of, wait_for

from . import names, ours
from .closed_loop import closed_loop
from .document import Closed, Memory, Missing, Row, Server, Start
from .inside import inside
from .instructions import instructions
from .machine import pss_mb
from .options import Choice, Effort
from .overloading import overload
from .rounds import CAPACITY_LEVEL, FAILURES, contest, reason
from .scaling import GREATER, of_workers, separate
from .scenarios import Asked

Readings = tuple[Mapping[str, Server], Sequence[Row]]
SETTLING_SECONDS, MOST_SETTLING_SECONDS = 5.0, 120.0
_BESIDE_THE_MODEL = {
    names.LINEAR: (names.WORKERS, names.GROWTH, names.RESTART, names.OVERLOAD),
    names.FOREST: (),
    names.MLP: (names.OVERLOAD,),
}
"""Parts that need the same models as a workload."""
NOTES = {
    names.TRITON: "binary of nvidia-pytriton, Python backend over ONNX Runtime, 2 instances, dynamic batching 0.5 ms",
    names.MLFLOW: "`mlflow models serve -w 2` as installed",
    names.MLFLOW_FAST: "the same with uvloop and httptools",
    names.KSERVE: "SDK, 1 worker",
    names.MLSERVER: "custom runtime over ONNX Runtime, 2 workers",
    names.LITSERVE: "2 workers",
    names.BENTOML: "2 workers",
    names.RAY: "Ray Serve, 2 replicas",
}


def known_servers() -> dict[str, frozenset[str]]:
    """Names of all servers, with the workloads that each is measured with."""
    own = {
        names.OURS: frozenset(names.WORKLOADS),
        names.ECHO: frozenset({names.LINEAR}),
        names.FALLBACK: frozenset({names.LINEAR}),
        names.UNBATCHED: frozenset({names.MLP}),
    }
    return own | {peer.name: peer.workloads for peer in PEERS}


def measure(choice: Choice, effort: Effort, logs: Path) -> Iterator[Readings]:
    """All that `choice` wants, in the order in which it is cheapest."""
    workloads = make_workloads(ROOT / ".bench" / "workloads")
    for name, beside in _BESIDE_THE_MODEL.items():
        parts = [part for part in beside if choice.part(part) and choice.server(names.OURS)]
        if choice.part(name) or parts:
            yield from _with_model(workloads[name], choice, parts, effort, logs)
    if choice.part(names.DEMO) and choice.server(names.OURS):
        yield {}, _demo()


def _with_model(workload: Workload, choice: Choice, parts: Sequence[str], effort: Effort, logs: Path) -> Iterator[Readings]:
    console.print(f"[bold]{workload.name}[/]: starting the gateway")
    with ours.house(workload) as house:
        own = ours.servers(house)
        for part in parts:
            console.print(f"[bold]{part}[/]")
            try:
                yield {}, list(_PARTS[part](house, own, effort, logs))
            except FAILURES as error:
                yield {}, [Missing(0, names.OURS, part, reason(error))]
        if choice.part(workload.name):
            neighbours = [peer for peer in PEERS if workload.name in peer.workloads]
            wanted = [peer for peer in (*own, *neighbours) if choice.server(peer.name)]
            servers = {peer.name: Server(peer.version(), _note(peer)) for peer in wanted}
            yield servers, [row for row in contest(wanted, workload, logs, effort) if not _means_nothing(row)]


def _means_nothing(row: Row) -> bool:
    """Ours runs before the contest begins; how long it takes to start is read by itself."""
    return isinstance(row, Start) and row.server in names.OWN


def _note(peer: Peer) -> str:
    return peer.note if isinstance(peer, ours.Own) else NOTES.get(peer.name, "")


# --- beside the contests ------------------------------------------------------------------------------------------------


def _workers(house: ours.House, _: Sequence[ours.Own], effort: Effort, logs: Path) -> Iterator[Row]:
    """CPU per request with other numbers of workers, of this gateway, of as many gateways of one each, and of the floor.

    With N workers there are N wrk, each with its part of the connections.
    """
    linear = frozenset({names.LINEAR})

    def gateway(count: int) -> ours.Own:
        state = logs / f"workers-{count}"
        name = of_workers(names.OURS, count)
        return ours.Own(name, linear, lambda *_: ours.divided(ours.gateway(house, state, count), count))

    def apart(count: int) -> ours.Own:
        return ours.Own(separate(count), linear, lambda *_: ours.separate(house, logs / f"separate-{count}", count))

    def floor(count: int) -> ours.Own:
        name = of_workers(names.ECHO, count)
        return ours.Own(name, linear, lambda *given: ours.divided(ours.echo(*given, workers=count), count))

    beside = [gateway(1), floor(1), *(server(count) for count in GREATER for server in (gateway, apart, floor))]
    for row in contest(beside, house.workload, logs, effort, levels=(CAPACITY_LEVEL,), at_half=False):
        if isinstance(row, Closed | Missing):
            yield replace(row, workload=names.WORKERS)


def _growth(house: ours.House, _: Sequence[ours.Own], effort: Effort, logs: Path) -> Iterator[Row]:
    body = house.workload.mlflow_body()
    asked = Asked(house.system.state, ours.MODEL, body, effort.inside_repeats)
    yield from inside(asked, logs / "inside")
    try:
        yield from instructions(asked, logs / "counted")
    except FAILURES as error:
        yield Missing(0, names.OURS, names.INSTRUCTIONS, reason(error))
    for folder in ("inside", "counted"):
        shutil.rmtree(logs / folder, ignore_errors=True)


def _restart(house: ours.House, _: Sequence[ours.Own], effort: Effort, logs: Path) -> Iterator[Row]:
    """From `stagedoor gateway` on a state folder that was in use to the first right answer."""
    state = logs / "restart"
    ours.warm_state(house, state)
    for _time in range(effort.restarts):
        with ours.restarted(house, state) as seconds:
            yield Start(0, names.OURS, names.RESTART, seconds)


def _overload(house: ours.House, own: Sequence[ours.Own], effort: Effort, logs: Path) -> Iterator[Row]:
    """With batching on and off; with the small model a gateway by itself, as the house's has to meet the neighbours yet."""
    if house.workload.name == names.LINEAR:
        own = [ours.Own(names.OURS, frozenset({names.LINEAR}), lambda *_: ours.gateway(house, logs / "overload", 2))]
    for peer in own:
        yield overload(peer, house.workload, logs, effort)


_PARTS = {names.WORKERS: _workers, names.GROWTH: _growth, names.RESTART: _restart, names.OVERLOAD: _overload}


def _demo() -> list[Row]:
    """Memory with the demo's models in both workers, after some requests: at once, and when it no longer changes."""
    console.print(f"[bold]{names.DEMO}[/]: training the demo's models")
    with system(seconds=300) as up:
        token = up.tokens["predictor"]
        wait_for(lambda: len(up.worker_pids()) == 2, 60, "both workers")
        worker = up.worker_pids()[0]
        master = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        url = f"{up.gateway}/models/breast-cancer/invocations"
        closed_loop(Running(url, up.body(), master, {"Authorization": f"Bearer {token}"}), connections=16, seconds=1)
        pids = tree_of(master)
        at_once = Memory(0, f"{names.OURS} at once", names.DEMO, pss_mb(pids), len(pids))
        memory = _settled(lambda: pss_mb(tree_of(master)))
        resolver = [pid for pid in tree_of(up.pid) if b"serving.resolver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return [
            Memory(0, names.OURS, names.DEMO, memory, len(tree_of(master))),
            at_once,
            Memory(0, f"{names.OURS} resolver", names.DEMO, pss_mb(resolver), len(resolver)),
        ]


def _settled(read: Callable[[], float]) -> float:
    """What `read` gives once it has stayed the same for a while: workers of a first run are replaced when all is loaded."""
    readings = [read()]
    while len(readings) * SETTLING_SECONDS < MOST_SETTLING_SECONDS:
        time.sleep(SETTLING_SECONDS)
        readings.append(read())
        last = readings[-4:]
        if len(last) == 4 and max(last) <= 1.02 * min(last):
            break
    return readings[-1]
