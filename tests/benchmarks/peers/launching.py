"""Start a neighbour in its environment, wait for its first right answer, and end all of its processes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from rig import free_port, process, tree_of

from peers.contract import START_SECONDS, Running, Workload
from peers.environment import Environment

APPS = Path(__file__).with_name("apps")
# Several processes share the cores: none of them may start a pool of its own for a row.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_LOG_LINES_TOLD = 12


@dataclass(frozen=True)
class Launch:
    """How a server is started and asked. `env` is added to a plain environment, in which nothing of ours is inherited."""

    command: Sequence[str]
    url: str
    body: bytes
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Neighbour:
    """A peer (see the contract) made of an environment and of a plan: what to start for a workload.

    The plan gets an empty folder, in which the server runs and logs, and a free port.
    """

    environment: Environment
    workloads: frozenset[str]
    plan: Callable[[Workload, Path, int], Launch]
    variant: str = ""
    """What sets it apart from another in the same environment."""

    @property
    def name(self) -> str:
        """See the contract."""
        return self.environment.name + (f"-{self.variant}" if self.variant else "")

    def version(self) -> str:
        """See the contract."""
        return self.environment.version()

    def install(self) -> None:
        """See the contract."""
        self.environment.install()

    def missing(self) -> str | None:
        """See the contract."""
        return self.environment.missing()

    @contextmanager
    def start(self, workload: Workload, logs: Path) -> Iterator[Running]:
        """See the contract."""
        folder = logs.resolve() / f"{self.name}-{workload.name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        launch = self.plan(workload, folder, free_port())
        with launched(self.environment, launch, workload, folder) as running:
            yield running


@contextmanager
def launched(environment: Environment, launch: Launch, workload: Workload, folder: Path) -> Iterator[Running]:
    """The server, from its first right answer until the context ends; every process of its tree is ended then.

    Raises TimeoutError if no right answer comes in time, and RuntimeError if the server ends before.
    """
    log = folder / f"{environment.name}.log"
    env = {
        "PATH": f"{environment.python.parent}{os.pathsep}/usr/local/bin{os.pathsep}/usr/bin{os.pathsep}/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PEER_ONNX": str(workload.onnx.resolve()),
        "PEER_WORKLOAD": workload.name,
        "PYTHONPATH": str(APPS),
        **_ONE_THREAD,
        **launch.env,
    }
    plain = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in env.items())]
    with process([*plain, *launch.command], log=log, cwd=folder) as pid:
        try:
            running = Running(launch.url, launch.body, pid)
            _until_right(running, workload, log)
            yield running
        finally:
            # Some start their workers in sessions of their own, which the end of a process group does not reach.
            _end(tree_of(pid))


def _until_right(running: Running, workload: Workload, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    told = "it never answered"
    while time.monotonic() < deadline:
        if not _alive(running.pid):
            raise RuntimeError(f"it ended while it started:\n{_tail(log)}")
        with suppress(requests.RequestException):
            headers = {"Content-Type": running.content_type, **running.headers}
            answer = requests.post(running.url, data=running.body, headers=headers, timeout=10)
            if answer.status_code == requests.codes.ok and workload.right(answer.content):
                return
            told = f"its last answer was {answer.status_code}: {answer.text[:300]}"
        time.sleep(0.05)
    raise TimeoutError(f"no right answer in {START_SECONDS:.0f} s; {told}\n{_tail(log)}")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES_TOLD:])


def _end(tree: Sequence[int]) -> None:
    """Ask the root to end, then what it left behind, and kill what is left of that. Returns when nothing runs."""
    born = {pid: _born(pid) for pid in tree}
    for sign, whom, patience in ((signal.SIGTERM, tree[:1], 10), (signal.SIGTERM, tree[1:], 2), (signal.SIGKILL, tree, 5)):
        for pid in whom:
            if _runs(pid, born[pid]):
                with suppress(ProcessLookupError):
                    os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and any(_runs(pid, born[pid]) for pid in whom):
            time.sleep(0.02)


def _runs(pid: int, born: str) -> bool:
    """Whether it still runs, and is not another process that got its number meanwhile."""
    return _alive(pid) and _born(pid) == born


def _born(pid: int) -> str:
    """When it was started, in ticks since the machine's start; empty for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
