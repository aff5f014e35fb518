"""Open loop: requests due at a fixed rate whatever the answers do; latency counts from the moment each was due.

bench.driver sends and reads, in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE_SECONDS = 10.0
"""For answers that are still out when the last request has been sent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: `request` is the whole request in bytes as latin-1 text."""

    host: str
    port: int
    request: str
    per_second: float
    seconds: float
    connections: int = 64
    most_connections: int = 64


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it. Rates a second; latencies (us, from the due time) as [p50, p99, p99.9, max].

    `late` is how late the driver sent what had a free connection. `ok` is 200, `shed` 503 with Retry-After; `other` are further
    answers by status, `broken` requests whose connection ended, `unanswered` those without an answer at the end.
    """

    wanted: float
    sent: float
    done: int
    ok: int
    ok_us: tuple[float, ...]
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


def drive(plan: Plan) -> Found:
    """Carry out `plan` in a process of its own. Raises subprocess.SubprocessError."""
    told = subprocess.run(
        [sys.executable, "-m", f"{__package__}.driver"],
        cwd=Path(__file__).parents[__package__.count(".") + 1],
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        timeout=plan.seconds + PATIENCE_SECONDS + 30,
        check=True,
    )
    return Found(**json.loads(told.stdout))


def request_bytes(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One POST over a connection that is kept."""
    where = urlsplit(url)
    path = where.path + (f"?{where.query}" if where.query else "")
    lines = [f"POST {path or '/'} HTTP/1.1", f"Host: {where.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body
