"""Open loop: requests due at a fixed rate whatever the answers do; latency counts from the moment each was due.

driver.c sends and reads, in a process of its own: it shares the machine with what it measures, and has to cost next to nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rig import ROOT

PATIENCE_SECONDS = 10.0
"""For answers that are still out when the last request has been sent."""
SOURCES = tuple(Path(__file__).with_name(name) for name in ("driver.c", "answer.h", "found.h", "line.h"))
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra")
WORK = ROOT / ".bench"
_SPARE_SECONDS = 30
"""More than the driver gives itself (SPARE_SECONDS there), which can say why it was not through."""
_COMPILE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: `request` is the whole request in bytes as latin-1 text.

    The driver begins with so many `connections` and opens more, up to `most_connections`, while all are busy. Each request goes
    over the one that has been idle longest: a service has many callers, and a worker only the requests of its connections.
    """

    host: str
    port: int
    request: str
    per_second: float
    seconds: float
    connections: int = 64
    most_connections: int = 64


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it. Rates a second; latencies (us, from the due time) as [p50, p99, p99.9, max], zeros where there are none.

    `sent` is the rate of what was sent by the time the last was due, `done` how many were in the end: those for which no
    connection is free wait. `late` is how late the driver sent what had a free connection. `ok` is 200 and `ok_later` those of
    them that were due after the first second; `shed` is 503 with Retry-After, `other` are further answers by status, `broken`
    requests whose connection ended, `unanswered` those without an answer at the end, sent or not.
    """

    wanted: float
    sent: float
    done: int
    ok: int
    ok_us: tuple[float, ...]
    ok_later_us: tuple[float, ...]
    shed: int
    shed_us: tuple[float, ...]
    other: dict[str, int]
    broken: int
    unanswered: int
    late_us: tuple[float, ...]
    cpu_us: float
    """The driver's own CPU for one request."""

    @property
    def failed(self) -> int:
        """Everything that is not 200."""
        return self.shed + sum(self.other.values()) + self.broken + self.unanswered


def drive(plan: Plan, patience: float = PATIENCE_SECONDS) -> Found:
    """Carry out `plan` in a process of its own. Raises RuntimeError and subprocess.TimeoutExpired."""
    how = (plan.per_second, plan.seconds, plan.connections, plan.most_connections, patience)
    told = subprocess.run(
        [compiled(), plan.host, str(plan.port), *map(str, how)],
        input=plan.request.encode("latin-1"),
        capture_output=True,
        timeout=plan.seconds + patience + _SPARE_SECONDS,
        check=False,
    )
    if told.returncode:
        raise RuntimeError(f"the driver ended with {told.returncode}: {told.stderr.decode(errors='replace').strip()}")
    found: dict[str, Any] = json.loads(told.stdout)
    found.update({name: tuple(found[name]) for name in ("ok_us", "ok_later_us", "shed_us", "late_us")})
    return Found(wanted=plan.per_second, **found)


def compiled(folder: Path = WORK) -> Path:
    """The driver as a program in `folder`, compiled on first use. Raises RuntimeError and subprocess.TimeoutExpired."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for source in SOURCES:
        digest.update(source.read_bytes())
    program = folder / f"driver-{digest.hexdigest()[:16]}"
    if program.exists():
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("the open loop needs a C compiler. Install one (apt-get install gcc libc6-dev) and start again")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="driver-", dir=folder) as place:  # moved once whole: others may compile it as well
        fresh = Path(place, "driver")
        command = [compiler, *FLAGS, "-o", str(fresh), str(SOURCES[0])]
        told = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False)
        if told.returncode:
            raise RuntimeError(f"the open loop's driver does not compile here: {told.stderr.strip()[:200]}")
        fresh.replace(program)
    return program


def compiler_missing(folder: Path = WORK) -> str | None:
    """What to do where the driver is not in `folder` and cannot be compiled."""
    try:
        compiled(folder)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return f"{error}."
    return None


def request_bytes(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One POST over a connection that is kept."""
    where = urlsplit(url)
    path = where.path + (f"?{where.query}" if where.query else "")
    lines = [f"POST {path or '/'} HTTP/1.1", f"Host: {where.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body
