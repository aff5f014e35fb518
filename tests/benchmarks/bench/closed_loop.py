"""Closed loop with wrk: as many requests as so many connections get answered."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from peers.contract import Running
from rig import cpu_seconds, tree_of

_TIMEOUT_SECONDS = 20
_SCRIPT = """
wrk.method = "POST"
%s
done = function(summary, latency, requests)
  local e = summary.errors
  io.stderr:write(string.format(
    '{"done": %%d, "us": %%d, "p50": %%d, "p99": %%d, "p999": %%d, "status": %%d, "sockets": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Several(Running):
    """What is driven by more than one wrk at once: each has one of `parts`, which may be the same server more than once.

    What it is as a `Running` by itself is the first of them.
    """

    parts: tuple[Running, ...] = ()

    @classmethod
    def of(cls, *parts: Running) -> Several:
        """One wrk for each of `parts`."""
        first = parts[0]
        return cls(first.url, first.body, first.pid, first.headers, first.content_type, parts)


def processes_of(server: Running) -> list[int]:
    """All processes of a server, each once."""
    return list(dict.fromkeys(pid for root in dict.fromkeys(part.pid for part in parts_of(server)) for pid in tree_of(root)))


@dataclass(frozen=True, slots=True)
class Looped:
    """What wrk and /proc say of one run. Times in microseconds; `failed` counts bad statuses and errors of sockets.

    `rate` and `cpu_us` are by good answers, `done` is all answers; wrk's latencies are of all answers as well. Of more than
    one wrk each latency is that of the slowest.
    """

    rate: float
    p50_us: float
    p99_us: float
    p999_us: float
    cpu_us: float
    done: int
    failed: int


def wrk_missing() -> str | None:
    """How to get wrk, where it is not there."""
    return None if shutil.which("wrk") else "This needs wrk. Install it (apt-get install wrk) and start again."


def closed_loop(server: Running, *, connections: int, seconds: int) -> Looped:
    """Drive `server` and read the CPU of its processes meanwhile. Raises RuntimeError and subprocess.TimeoutExpired.

    Where it has several parts, each has an equal share of the connections.
    """
    parts = parts_of(server)
    with ExitStack() as stack:
        commands = []
        for part in parts:
            load = ["-t1", f"-c{connections // len(parts)}", f"-d{seconds}s", f"--timeout={_TIMEOUT_SECONDS}s"]
            commands.append(["wrk", *load, "-s", stack.enter_context(_script(part)), part.url])
        pids = processes_of(server)
        before = cpu_seconds(pids)
        told = _all_at_once(commands, seconds + _TIMEOUT_SECONDS + 30)
        spent = cpu_seconds(pids) - before
    return _together([json.loads(one.strip().splitlines()[-1]) for one in told], spent)


def parts_of(server: Running) -> tuple[Running, ...]:
    """What a wrk each drives."""
    return server.parts if isinstance(server, Several) else (server,)


def _all_at_once(commands: Sequence[Sequence[str]], seconds: float) -> list[str]:
    """What each says on standard error. When one fails or takes longer, the others are ended."""
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        children = []
        for command in commands:
            child = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
            stack.callback(child.kill)  # before it is waited for; does nothing where it has ended
            children.append(child)
        told = []
        for child in children:
            told.append(child.communicate(timeout=max(end - time.monotonic(), 0.0))[1])
            if child.returncode:
                raise RuntimeError(f"wrk ended with {child.returncode}: {told[-1][:200]}")
        return told


def _together(found: Sequence[dict[str, Any]], spent: float) -> Looped:
    """What each wrk says, and the seconds of CPU that the servers spent on all of it."""
    good = [one["done"] - one["status"] for one in found]  # refusals are quick: they must not look like speed
    return Looped(
        rate=sum(number / one["us"] * 1e6 for number, one in zip(good, found, strict=True)),
        p50_us=max(one["p50"] for one in found),
        p99_us=max(one["p99"] for one in found),
        p999_us=max(one["p999"] for one in found),
        cpu_us=spent / max(sum(good), 1) * 1e6,
        done=sum(one["done"] for one in found),
        failed=sum(one["status"] + one["sockets"] for one in found),
    )


@contextmanager
def _script(server: Running) -> Iterator[str]:
    """A file that tells wrk the request."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % _request(server))
        script.flush()
        yield script.name


def _request(server: Running) -> str:
    """The request as lines of Lua."""
    headers = {"Content-Type": server.content_type, **server.headers}
    lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
    return "\n".join((f"wrk.body = [==[{server.body.decode()}]==]", *lines))
