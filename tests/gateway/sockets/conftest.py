"""A real gateway on real sockets, without MLflow: model files in the store, a snapshot beside them, gunicorn in front.

Tests run three times: against the lane's own worker, against gunicorn's stock `asgi` worker, and against Flask alone under
`gthread`. What the lane's worker alone promises is `of_the_lane`.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serving.snapshot_file import Heartbeat, write_heartbeat, write_snapshot
from serving.store import Store
from stagedoor import names
from stagedoor.auth import issue_token
from stagedoor.domain.intent import EMPTY
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route, Sticky, salt_for
from stagedoor.domain.tuning import parse_tuning
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

from .saved_models import COLUMNS, save_models

__all__ = ["COLUMNS"]

TUNED = {
    "network": {},
    "together": {names.TAG_BATCH: "max=8"},
    "apart": {names.TAG_BATCH: "off"},
    "kept": {names.TAG_CACHE: "ttl=1h"},
    "kept-briefly": {names.TAG_CACHE: "ttl=100ms"},
}
MAX_BODY = 200_000
MAX_ROWS = 1_000
SERVERS = {
    "lane": ["serving.asgi:app"],
    "stock": ["-k", "asgi", "serving.asgi:app"],
    "flask": ["-k", "gthread", "--threads", "8", "serving.wsgi:app"],
}


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> StatePaths:
    """A state folder with models in it, as a resolver would have left it."""
    paths = StatePaths(tmp_path_factory.mktemp("house"))
    store = Store(paths.store, 10**9)
    digests = save_models(tmp_path_factory.mktemp("saved"), store)
    one = (Arm("champion", "1", 10_000),)
    two = (Arm("champion", "1", 5_000), Arm("challenger", "2", 5_000))
    salt = salt_for("split", ("2",))
    models = {
        "cancer": _entry("cancer", {"1": digests["cancer"], "2": digests["cancer2"]}, Route(3, one, b"s" * 16)),
        "digits": _entry("digits", {"1": digests["digits"]}, Route(3, one, b"s" * 16)),
        "moody": _entry("moody", {"1": digests["moody"]}, Route(3, one, b"s" * 16)),
        "split": _entry("split", {"1": digests["cancer"], "2": digests["cancer2"]}, Route(3, two, salt)),
        "sticky": _entry(
            "sticky", {"1": digests["cancer"], "2": digests["cancer2"]}, Route(3, two, salt, Sticky("header", "X-User-Id"))
        ),
    }
    for name, stable, candidate in (("guarded", "calm", "moody"), ("guarded-quick", "absolute", "root")):
        models[name] = _entry(name, {"1": digests[stable], "2": digests[candidate]}, _on_trial(mirror=None))
    for name, tags in TUNED.items():
        models[name] = _entry(
            name, {"1": digests["network" if name == "network" else "counted"]}, Route(3, one, b"s" * 16), tags
        )
    models["mirrored"] = _entry("mirrored", {"1": digests["absolute"], "2": digests["root"]}, _on_trial(arms=one, mirror="2"))
    write_snapshot(paths.snapshot, Snapshot(3, models))
    write_heartbeat(paths.heartbeat, Heartbeat(time.time(), time.time(), None, 0.01, len(models), 1))
    return paths


def _on_trial(**changes: Any) -> Route:
    """A route of a controller that sends nearly everything to the candidate."""
    arms = (Arm("champion", "1", 1), Arm("candidate", "2", 9_999))
    return Route(**({"epoch": 3, "arms": arms, "salt": b"s" * 16, "issued": True, "watched": True, "shield": True} | changes))


def _entry(name: str, digests: dict[str, str], route: Route, tags: Mapping[str, str] = EMPTY) -> ModelEntry:
    versions = {v: VersionEntry(v, "ready", d, "onnx", 10_000_000) for v, d in digests.items()}
    aliases = {"champion": "1"} | ({"challenger": "2"} if "2" in digests else {})
    return ModelEntry(
        name, aliases=aliases, stages={"Production": "1"}, route=route, versions=versions, tuning=parse_tuning(tags)[0]
    )


@dataclass(frozen=True)
class Answer:
    """What came back over the socket."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        if not self.headers.get("content-type", "").startswith("application/problem+json"):
            return None
        return str(self.json()["code"])


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    kind: str
    port: int
    pid: int
    log: Path
    house: StatePaths
    trust: ssl.SSLContext | None = None
    """What callers trust, where the gateway speaks TLS."""

    def token(self, *roles: str, models: tuple[str, ...] = ("*",), subject: str = "ann", lifetime: int = 3600) -> str:
        settings = Settings(state_dir=self.house.root)
        return issue_token(
            settings, subject=subject, roles=roles or ("tester",), models=models, lifetime_seconds=lifetime, now=time.time()
        )

    def connect(self, seconds: float = 15, source: str = "127.0.0.1") -> socket.socket:
        """A connection; over TLS it says so where the other side ends without saying goodbye."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=seconds, source_address=(source, 0))
        if self.trust is None:
            return plain
        return self.trust.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)

    def send(self, raw: bytes, seconds: float = 15, source: str = "127.0.0.1") -> Answer:
        """Write bytes as they are, and read one answer."""
        started = time.monotonic()
        with self.connect(seconds, source) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # what it said before it stopped reading counts
                connection.sendall(raw)
            return read_answer(connection, started)

    def post(
        self,
        path: str,
        body: bytes | Any,
        *,
        token: str | None = "",
        headers: tuple[tuple[str, str], ...] = (),
        content_type: str | None = "application/json",
        method: str = "POST",
        source: str = "127.0.0.1",
    ) -> Answer:
        """One request. An empty `token` means a good one of a tester; None sends none."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token or self.token()}")
        if content_type is not None:
            lines.append(f"Content-Type: {content_type}")
        lines += [f"{name}: {value}" for name, value in headers]
        if not any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in headers):
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body, source=source)

    def get(self, path: str, token: str | None = None) -> Answer:
        return self.post(path, b"", token=token, content_type=None, method="GET")

    def workers(self) -> set[str]:
        return {file.stem for file in self.house.workers.glob("*.json")}

    def series(self) -> int:
        """How many metric series there are, process by process values left out."""
        lines = self.get("/metrics").body.decode().splitlines()
        return len({line.rpartition(" ")[0] for line in lines if line and not line.startswith("#")})


def read_answer(connection: socket.socket, started: float) -> Answer:
    """Read one HTTP/1.1 answer from a socket. Raises ConnectionError when there is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("closed without an answer")
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in headers.get("transfer-encoding", ""):
        body = _dechunked(connection, body)
    else:
        wanted = int(headers.get("content-length", "0"))
        while len(body) < wanted:
            chunk = connection.recv(65536)
            if not chunk:
                break
            body += chunk
    return Answer(int(status_line.split(" ")[1]), headers, body, time.monotonic() - started)


def _dechunked(connection: socket.socket, data: bytes) -> bytes:
    whole = b""
    while True:
        while not (match := re.match(rb"([0-9a-fA-F]+)\r\n", data)):
            data += connection.recv(65536) or b"0\r\n"
        size = int(match[1], 16)
        if size == 0:
            return whole
        start = match.end()
        while len(data) < start + size + 2:
            data += connection.recv(65536)
        whole += data[start : start + size]
        data = data[start + size + 2 :]


@pytest.fixture(scope="session", params=SERVERS)
def gateway(request: pytest.FixtureRequest, house: StatePaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway under test."""
    with started(request.param, house, tmp_path_factory.mktemp(request.param)) as running:
        yield running


of_the_lane = pytest.mark.parametrize("gateway", ["lane"], indirect=True, scope="session")
"""Runs a test against the lane's own worker alone, in the process that serves the others."""


@contextlib.contextmanager
def started(
    kind: str, house: StatePaths, folder: Path, trust: ssl.SSLContext | None = None, **changes: str
) -> Iterator[Gateway]:
    """A gateway of two workers with a copy of `house` and a log of its own in `folder`; `changes` are environment variables.

    Two gateways in one house would take each other's workers and counters for their own.
    """
    log = folder / "gateway.log"
    own = StatePaths(Path(shutil.copytree(house.root, folder / "state")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "STAGEDOOR_STATE_DIR": str(own.root),
        "STAGEDOOR_MAX_BODY_BYTES": str(MAX_BODY),
        "STAGEDOOR_MAX_ROWS": str(MAX_ROWS),
        "STAGEDOOR_PREDICT_TIMEOUT_SECONDS": "2",
        "STAGEDOOR_QUEUE_MILLISECONDS": "1000",  # a machine that is busy with other tests is no overload
        "STAGEDOOR_MODEL_QUEUE_MILLISECONDS": "1000",
        "STAGEDOOR_LOAD_WAIT_SECONDS": "1",
        "STAGEDOOR_DEFAULT_MODEL": "cancer",
        "STAGEDOOR_STALE_AFTER_SECONDS": "3600",
        **changes,
    }
    command = [
        sys.executable, "-m", "gunicorn", "-c", "python:serving.gunicorn_conf", "--bind", f"127.0.0.1:{port}",
        "--workers", "2", *SERVERS[kind],
    ]  # fmt: skip
    with log.open("wb") as sink:
        child = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, start_new_session=True)
    try:
        running = Gateway(kind, port, child.pid, log, own, trust)
        _wait_until_ready(running, child)
        yield running
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(5)


def _wait_until_ready(running: Gateway, child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    body = {"dataframe_split": {"columns": ["amount"], "data": [[1.0]]}}
    while time.monotonic() < deadline:
        if child.poll() is not None:
            break
        try:
            if len(running.workers()) == 2 and running.post("/models/moody/invocations", body).status == 200:
                return
        except (ConnectionError, OSError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"the gateway did not come up:\n{running.log.read_text()[-4000:]}")
