"""What the benchmark scripts share: a running system, load on it, and readings of its processes. Loopback only, bounded."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
BREAST_CANCER = "breast-cancer"
console = Console(width=150)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: Sequence[str], *, env: dict[str, str] | None = None, log: Path, cwd: Path | None = None) -> Iterator[int]:
    """A process in a group of its own, ended with everything it started."""
    with log.open("ab") as sink:
        child = subprocess.Popen(
            list(command),
            stdout=sink,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            cwd=cwd,
        )
    try:
        yield child.pid
    finally:
        for sign, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
            if child.poll() is None:
                os.killpg(child.pid, sign) if sign == signal.SIGKILL else child.send_signal(sign)
                try:
                    child.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def wait_for(check: Callable[[], Any], seconds: float, what: str, pause: float = 0.05) -> Any:
    """Poll `check` until it gives something true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(pause)
    raise TimeoutError(f"{what} took more than {seconds} seconds")


@dataclass(frozen=True)
class System:
    """A running `stagedoor up`."""

    state: Path
    mlflow: str
    gateway: str
    tokens: dict[str, str]
    pid: int
    controller: str = ""

    @property
    def registry_store(self) -> str:
        """The registry's database, to move an alias behind the server's back: then nobody sends a nudge."""
        return f"sqlite:///{self.state / 'mlflow' / 'mlflow.db'}"

    def workers(self) -> list[dict[str, Any]]:
        """What each worker says of itself."""
        found = []
        for file in (self.state / "serving" / "workers").glob("*.json"):
            try:
                found.append(json.loads(file.read_text()))
            except (OSError, ValueError):
                continue
        return found

    def worker_pids(self) -> list[int]:
        """Process ids of the gateway's workers."""
        return [int(file.stem) for file in (self.state / "serving" / "workers").glob("*.json")]

    def body(self, rows: int = 1) -> bytes:
        """A request of the demo's breast-cancer model."""
        from sklearn.datasets import load_breast_cancer

        frame = load_breast_cancer(as_frame=True).data.head(rows)
        return json.dumps({"dataframe_split": frame.to_dict(orient="split", index=False)} if rows else {}).encode()


@contextmanager
def system(
    *options: str, env: dict[str, str] | None = None, seconds: float = 180, controlled: bool = False, demo: bool = True
) -> Iterator[System]:
    """`stagedoor up` on free ports in a new state folder; with a controller only if `controlled`.

    With `demo` the demo's models are registered, live and warm; else there is no model.
    """
    state = Path(tempfile.mkdtemp(prefix="stagedoor-bench-"))
    try:
        command = [
            str(Path(sys.executable).with_name("stagedoor")),
            "up",
            *(["--demo"] if demo else []),
            "--state",
            str(state),
            "--gateway-port",
            "0",
            "--mlflow-port",
            "0",
            *(["--controller-port", "0"] if controlled else ["--no-controller"]),
            *options,
        ]
        log = state / "up.log"
        with process(command, env=env, log=log) as pid:
            endpoints = state / "endpoints.json"
            wait_for(endpoints.exists, seconds, "stagedoor up")
            told = json.loads(endpoints.read_text())
            running = System(state, told["mlflow"], told["gateway"], told["tokens"], pid, told["controller"] or "")
            if demo:
                wait_for(lambda: _answers(running), seconds, "the demo's models")
            yield running
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _answers(running: System) -> bool:
    reply = requests.post(
        f"{running.gateway}/models/{BREAST_CANCER}@challenger/invocations",
        data=running.body(),
        timeout=30,
        headers={"Authorization": f"Bearer {running.tokens['predictor']}", "Content-Type": "application/json"},
    )
    return reply.status_code == 200


def tree_of(pid: int) -> list[int]:
    """A process and all it started."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time spent so far."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


@dataclass
class Shot:
    """One open-loop request: intended and real times (seconds, monotonic), and what came back.

    `failure` is the kind of exception where no answer came; `status` is 0 then.
    """

    due: float
    done: float = 0.0
    status: int = 0
    version: str = ""
    epoch: int = 0
    shielded: str = ""
    failure: str = ""


@dataclass
class OpenLoop:
    """Requests sent at fixed times whatever the answers do; latency counts from the intended time. Several take turns."""

    host: str
    port: int
    request: bytes | tuple[bytes, ...]
    rate: float
    shots: list[Shot] = field(default_factory=list)
    stopping: bool = False

    async def run(self, seconds: float) -> None:
        """Send for `seconds`, or until `stopping`, over a pool of keep-alive connections."""
        start = time.monotonic()
        idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        running: set[asyncio.Task[None]] = set()
        requests = self.request if isinstance(self.request, tuple) else (self.request,)
        for number in range(int(seconds * self.rate)):
            if self.stopping:
                break
            due = start + number / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            shot = Shot(due)
            self.shots.append(shot)
            task = asyncio.create_task(self._send(shot, idle, requests[number % len(requests)]))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
        for _, writer in idle:
            writer.close()

    async def _send(self, shot: Shot, idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]], request: bytes) -> None:
        try:
            async with asyncio.timeout(15):
                while idle and idle[-1][0].at_eof():  # closed by the server meanwhile, as any may that was idle
                    idle.pop()[1].close()
                pair = idle.pop() if idle else await asyncio.open_connection(self.host, self.port)
                reader, writer = pair
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(re.search(r"content-length: (\d+)", head)[1])  # type: ignore[index]
                await reader.readexactly(length)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            shot.done, shot.failure = time.monotonic(), type(error).__name__
            return
        shot.done = time.monotonic()
        shot.status = int(head.split(" ", 2)[1])
        version = re.search(r"x-model-version: (\S+)", head)
        epoch = re.search(r"x-route-epoch: (\d+)", head)
        shielded = re.search(r"x-model-shielded-from: (\S+)", head)
        shot.version = version[1] if version else ""
        shot.epoch = int(epoch[1]) if epoch else 0
        shot.shielded = shielded[1] if shielded else ""
        if "connection: close" in head:
            writer.close()
        else:
            idle.append(pair)


def raw_request(path: str, body: bytes, token: str, host: str) -> bytes:
    """The bytes of one POST."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` per cent lie."""
    return float(np.percentile(np.asarray(values), share)) if len(values) else float("nan")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Show results, and keep them as JSON where STAGEDOOR_BENCH_JSON names a folder."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)
