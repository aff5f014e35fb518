"""Where the time of a prediction goes inside a worker: each step timed on its way, from a request's bytes to its answer's.

The worker is wired as a gateway's, from the state of one that serves; only the socket is a stand-in. A sampling profiler is no
help here: below uvloop's callbacks py-spy sees no frames. Each time includes the clock's own, some 0.3 us a step.

    python tests/benchmarks/where_time_goes.py [--repeats 20000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import ours
from peers.workloads import make_workloads
from rig import ROOT, print_table

STEPS = (
    ("head: read strictly", "serving.lane.protocol", "read_head"),
    ("head: headers as text", "serving.lane.protocol", "head_of"),
    ("admit: token, rights, target, route, arm", "plane", "admit"),
    ("read: JSON to typed arrays, signature check", "plane", "read"),
    ("run: the model, and the check of its answer", "crew", "run"),
    ("reply: JSON of the answer, record", "plane", "reply"),
    ("answer as bytes", "serving.lane.protocol", "wire_form"),
)
REST = "the rest: connection, turn, deadlines"


class Transport:
    """Takes answers, and does nothing with them."""

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        """As asked."""

    def write(self, data: bytes) -> None:
        self.last = data


class Clocks:
    """Times of steps by name, of one request after another."""

    def __init__(self) -> None:
        self.now: dict[str, float] = {}
        self.all: dict[str, list[float]] = defaultdict(list)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **more: Any) -> Any:
            began = time.perf_counter_ns()
            try:
                return call(*arguments, **more)
            finally:
                self.now[name] = self.now.get(name, 0.0) + (time.perf_counter_ns() - began) / 1e3

        return timed

    def keep(self, whole: float) -> None:
        self.all["whole"].append(whole)
        self.all[REST].append(whole - sum(self.now.values()))
        for name, spent in self.now.items():
            self.all[name].append(spent)
        self.now.clear()


def connection(worker: Any, lane: Any) -> Any:
    """A LaneProtocol as gunicorn's worker makes it."""
    from types import SimpleNamespace

    import uvloop
    from gunicorn.asgi.protocol import ASGIProtocol
    from gunicorn.config import Config

    from serving.lane.protocol import LaneProtocol
    from serving.lane.strict import Limits

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    cfg = Config()
    cfg.set("http_parser", "fast")
    ASGIProtocol._check_h1c_protocol_available()  # noqa: SLF001  as gunicorn's worker has it done
    around = SimpleNamespace(loop=loop, cfg=cfg, log=None, asgi=lane, limits=Limits(), connections=set())
    around.nr_conns = around.nr = 0
    around.max_requests, around.alive, around.pressure = sys.maxsize, True, None
    around.arrived, around.gone = around.connections.add, around.connections.discard
    protocol = LaneProtocol(around)
    protocol.connection_made(Transport())
    return protocol


def measure(state: Path, token: str, body: bytes, repeats: int, *, same_head: bool) -> Clocks:
    """Time `repeats` requests, with the same head each, or with a new request id each."""
    os.environ["STAGEDOOR_STATE_DIR"] = str(state)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(state / "clocks")
    (state / "clocks").mkdir(exist_ok=True)
    import importlib

    from serving.lane.asgi import Lane
    from serving.wiring import build_worker

    worker = build_worker()
    worker.start()
    lane = Lane(worker.plane, lambda *_: None, lambda: None, lambda: None)
    protocol, clocks = connection(worker, lane), Clocks()
    homes = {"plane": worker.plane, "crew": worker.plane._crew}  # noqa: SLF001  a step of its own
    undo = []
    for name, home, call in STEPS:
        where = homes.get(home) or importlib.import_module(home)
        undo.append((where, call, getattr(where, call)))
        setattr(where, call, clocks.around(name, getattr(where, call)))
    head = (
        f"POST /models/{ours.MODEL}/invocations HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    for number in range(repeats):
        told = head if same_head else f"{head}X-Request-Id: {number:032x}\r\n"
        request = told.encode() + b"\r\n" + body
        began = time.perf_counter_ns()
        protocol.data_received(request)
        clocks.keep((time.perf_counter_ns() - began) / 1e3)
        if number % 16 == 0:
            worker.recorder.flush()
    if not protocol.transport.last.startswith(b"HTTP/1.1 200"):
        raise SystemExit(protocol.transport.last.decode())
    for where, call, before in undo:
        setattr(where, call, before)
    worker.stop()
    return clocks


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20_000)
    options = parser.parse_args()
    workload = make_workloads(ROOT / ".bench" / "workloads")["linear"]
    with ours.house(workload) as house, tempfile.TemporaryDirectory() as folder:
        paths = ours.warm_state(house, Path(folder) / "state")
        with Path(os.devnull).open("wb") as nowhere:  # the request log, made and thrown away
            os.dup2(nowhere.fileno(), sys.stderr.fileno())
            runs = [
                measure(paths.root, house.token, workload.mlflow_body(), options.repeats, same_head=same)
                for same in (True, False)
            ]
    rows = []
    for name in (*(step[0] for step in STEPS), REST, "whole"):
        cells = [name]
        for run in runs:
            times = run.all.get(name)
            cells += [f"{min(times):.1f}", f"{statistics.median(times):.1f}"] if times and len(times) > 10 else ["-", "-"]
        rows.append(cells)
    columns = ["step, us", "same head: least", "median", "new request id: least", "median"]
    print_table(f"One row of 30 columns, split over two versions, {options.repeats:,} requests each", columns, rows)


if __name__ == "__main__":
    main()
