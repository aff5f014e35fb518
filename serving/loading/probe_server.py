"""The process that probes are forked from: libraries imported once, one child for each probe, every child watched.

It speaks with its parent over one Unix socket: a byte with a file descriptor attached asks for a probe. Over that
descriptor come one line of JSON (the request), then at most one line from the child (its report) and one line from here
(how the child ended). It has no threads, so that forking is safe. It ends when the parent does, and takes the children along.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from serving.loading.loaders import LoadOptions
from serving.loading.memory import anonymous_bytes
from serving.loading.version import Version, load_version
from stagedoor.errors import ArtifactError, OverBudget

READY: Final = b"r"
ASK: Final = b"p"
PRELOADED: Final = {
    "onnx": ("serving.loading.loaders.onnx",),
    "pyfunc": ("serving.loading.loaders.pyfunc", "mlflow.pyfunc", "pandas", "mlflow.sklearn", "skops.io"),
}

_WATCH_SECONDS: Final = 0.01
_IDLE_SECONDS: Final = 900.0
_MAX_REQUEST: Final = 65536
_PR_SET_PDEATHSIG: Final = 1
_LAST_NET_SECONDS: Final = 30

Job = Callable[[dict[str, Any]], dict[str, Any]]
"""What a child does with a request; the answer is its report."""


@dataclass(slots=True)
class _Child:
    """A running probe. `limit` is the memory at which it is ended."""

    pid: int
    line: socket.socket
    deadline: float
    limit: int
    ended_for: str = ""


def serve(control: socket.socket, kind: str, job: Job) -> None:
    """Fork a child that does `job` for each request until the parent goes away or nothing is asked for a quarter of an hour."""
    for name in PRELOADED[kind]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    control.sendall(READY)
    children: list[_Child] = []
    while True:
        readable, _, _ = select.select([control], [], [], _WATCH_SECONDS if children else _IDLE_SECONDS)
        if readable:
            asked, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not asked:
                break
            children.extend(_start(control, descriptor, job) for descriptor in descriptors)
        elif not children:
            break
        children = [child for child in children if not _watch(child)]
    for child in children:
        _end(child.pid)


def _start(control: socket.socket, descriptor: int, job: Job) -> _Child:
    line = socket.socket(fileno=descriptor)
    request = json.loads(line.recv(_MAX_REQUEST))
    budget = request["options"]["budget_bytes"]
    baseline = anonymous_bytes()
    pid = os.fork()
    if pid == 0:
        control.close()
        _run_child(line, request, job)
    return _Child(pid, line, time.monotonic() + request["timeout"], baseline + budget)


def _watch(child: _Child) -> bool:
    """End the child if it is over a limit; whether it is gone, in which case the parent has been told."""
    pid, status = os.waitpid(child.pid, os.WNOHANG)
    if pid:
        _end_group(child.pid)  # what it may have started
        with contextlib.suppress(OSError):
            child.line.sendall(
                json.dumps({"ended": os.waitstatus_to_exitcode(status), "for": child.ended_for}).encode() + b"\n"
            )
        child.line.close()
        return True
    if not child.ended_for:
        over_time = time.monotonic() > child.deadline
        if over_time or anonymous_bytes(child.pid) > child.limit:
            child.ended_for = "time" if over_time else "memory"
            _end(child.pid)
    return False


def _end(pid: int) -> None:
    """Kill the child and all it started. It may not have come to lead a process group of its own yet."""
    _end_group(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _run_child(line: socket.socket, request: dict[str, Any], job: Job) -> None:
    """Do the job, report, and leave without running anything that the model may have registered for the end."""
    try:
        _confine(request["timeout"])
        report = job(request)
        line.sendall(json.dumps(report).encode() + b"\n")
    finally:
        os._exit(0)


def _confine(timeout: float) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(AttributeError, OSError):  # Linux alone can tie a child's life to its parent's
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.alarm(int(timeout) + _LAST_NET_SECONDS)  # in case everybody who watches is gone
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(quiet, 1)


def _probe(request: dict[str, Any]) -> dict[str, Any]:
    folder = Path(request["folder"])
    options = read_options(request["options"])
    start = time.perf_counter()
    try:
        version = load_version(folder, "", "", "", options)
        memory = memory_of(version, folder)
        if memory > options.budget_bytes:
            raise OverBudget(_over(options.budget_bytes))
    except ArtifactError as error:
        return {"error": type(error).__name__, "reason": error.reason}
    return {
        "flavor": version.flavor,
        "memory_bytes": memory,
        "load_seconds": time.perf_counter() - start,
        "warm_seconds": version.warm_seconds,
    }


def memory_of(version: Version, folder: Path) -> int:
    """Weights that ONNX Runtime maps from a file are not the process's own memory, yet they want room as well."""
    return max(version.memory_bytes, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def read_options(data: dict[str, Any]) -> LoadOptions:
    """Options that have travelled as JSON."""
    return LoadOptions(**{**data, "onnx_providers": tuple(data["onnx_providers"])})


def _over(budget: int) -> str:
    return (
        f"It needs more than the {budget // 2**20} MiB that one version may use. Make the model smaller or raise "
        "STAGEDOOR_MEMORY_BUDGET_MIB."
    )


def main() -> None:
    """Started by `serving.loading.probe` with the number of its socket and the kind of models to be ready for."""
    serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3], _probe)
