"""Closed loop with wrk: as many requests as so many connections get answered."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Looped:
    """What wrk and /proc say of one run. Times in microseconds; `failed` counts bad statuses and errors of sockets.

    `rate` and `cpu_us` are by good answers, `done` is all answers; wrk's latencies are of all answers as well.
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
    """Drive `server` and read the CPU of its processes meanwhile. Raises RuntimeError and subprocess.TimeoutExpired."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % _request(server))
        script.flush()
        pids = tree_of(server.pid)
        before = cpu_seconds(pids)
        told = subprocess.run(
            [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{seconds}s",
                f"--timeout={_TIMEOUT_SECONDS}s",
                "-s",
                script.name,
                server.url,
            ],
            capture_output=True,
            text=True,
            timeout=seconds + _TIMEOUT_SECONDS + 30,
            check=False,
        )
        spent = cpu_seconds(pids) - before
    if told.returncode:
        raise RuntimeError(f"wrk ended with {told.returncode}: {told.stderr[:200]}")
    found = json.loads(told.stderr.strip().splitlines()[-1])
    good = found["done"] - found["status"]  # refusals are quick: they must not look like speed
    return Looped(
        rate=good / found["us"] * 1e6,
        p50_us=found["p50"],
        p99_us=found["p99"],
        p999_us=found["p999"],
        cpu_us=spent / max(good, 1) * 1e6,
        done=found["done"],
        failed=found["status"] + found["sockets"],
    )


def _request(server: Running) -> str:
    """The request as lines of Lua."""
    headers = {"Content-Type": server.content_type, **server.headers}
    lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
    return "\n".join((f"wrk.body = [==[{server.body.decode()}]==]", *lines))
