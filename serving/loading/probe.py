"""Try a version in a process of its own before anything that serves touches it: it may crash, hang or eat all memory."""

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from serving.loading.loaders.options import LoadOptions
from stagedoor import errors
from stagedoor.errors import ArtifactError, LoadFailed, LoadTimeout, OverBudget
from stagedoor.settings import MIB

_START_SECONDS: Final = 120.0
_GRACE_SECONDS: Final = 10.0
_MAX_REPORT: Final = 65536
# argv[1] is the path to import from: this process may have found Stagedoor in ways that a new one does not know.
_BOOT: Final = "import sys; sys.path[:] = sys.argv[1].split('\\n'); from serving.loading.probe_server import main; main()"


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """A version that loads. `memory_bytes` is what it took, `warm_seconds` the time of one row (0: could not be tried)."""

    flavor: str
    memory_bytes: int
    load_seconds: float
    warm_seconds: float


class _Gone(Exception):
    """The process that forks probes is not there any more."""


class _Server:
    """A running `serving.loading.probe_server`; ends with this process, however that ends."""

    def __init__(self, kind: str) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, "-c", _BOOT, "\n".join(sys.path), str(theirs.fileno()), kind],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._control.settimeout(_START_SECONDS)
        try:
            if not self._control.recv(1):
                raise LoadFailed("The process that probes versions did not start. Look into its log.")
        except TimeoutError:
            self.close()
            raise LoadFailed("The process that probes versions took too long to start. It will be tried again.") from None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, request: dict[str, Any], timeout: float) -> list[dict[str, Any]]:
        """The lines that answer `request`: the child's report if it came to that, and how the child ended. Raises _Gone."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                ours.sendall(json.dumps(request).encode())
                try:
                    socket.send_fds(self._control, [b"p"], [theirs.fileno()])
                except OSError as error:
                    raise _Gone from error
            return _read_lines(ours, time.monotonic() + timeout + _GRACE_SECONDS)

    def close(self) -> None:
        """End it and its children."""
        self._control.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5.0)


_servers: dict[str, _Server] = {}
# One for each kind: importing MLflow takes seconds, for which no ONNX model should wait.
_starting: Final = {"onnx": threading.Lock(), "pyfunc": threading.Lock()}


def probe(folder: Path, options: LoadOptions, timeout: float) -> ProbeReport:
    """Load and warm up the model in `folder` in a child process, within `timeout` seconds and `options.budget_bytes`.

    Raises the ArtifactError leaf that says why it must not serve: LoadTimeout, OverBudget, LoadFailed (a crash, too) and
    what the loaders raise. Safe to call from several threads. The first call for a kind of model starts a process.
    """
    kind = _kind(folder)
    request = {"folder": str(folder.resolve()), "options": asdict(options), "timeout": timeout}
    for last in (False, True):
        server = _server(kind)
        try:
            return _judge(server.ask(request, timeout), timeout)
        except _Gone as error:
            _forget(kind, server)
            if last:
                raise LoadFailed("The process that probes versions died, perhaps for lack of memory.") from error
    raise AssertionError("unreachable")


def stop_probing() -> None:
    """End the processes that probes are forked from. They also end by themselves with this process."""
    for kind, lock in _starting.items():
        with lock:
            server = _servers.pop(kind, None)
            if server is not None:
                server.close()


def server_pids() -> dict[str, int]:
    """The processes that probes are forked from, by kind of model."""
    return {kind: server.pid for kind, server in dict(_servers).items()}


def _kind(folder: Path) -> str:
    """Which libraries the probe will need; a wrong guess only costs time. The file is parsed in the child, never here."""
    try:
        with (folder / "MLmodel").open("rb") as file:
            return "onnx" if b"\n  onnx:" in b"\n" + file.read(MIB) else "pyfunc"
    except OSError:
        return "onnx"


def _server(kind: str) -> _Server:
    with _starting[kind]:
        if kind not in _servers:
            _servers[kind] = _Server(kind)
        return _servers[kind]


def _forget(kind: str, server: _Server) -> None:
    with _starting[kind]:
        if _servers.get(kind) is server:
            del _servers[kind]
            server.close()


def _read_lines(line: socket.socket, deadline: float) -> list[dict[str, Any]]:
    buffer = b""
    while b'"ended"' not in buffer or not buffer.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([line], [], [], left)[0]:
            raise _Gone
        try:
            chunk = line.recv(_MAX_REPORT)
        except OSError as error:  # it died with the question still in its hands
            raise _Gone from error
        if not chunk or len(buffer) > _MAX_REPORT:
            raise _Gone
        buffer += chunk
    lines = []
    for text in buffer.splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(text))
    return lines


def _judge(lines: list[dict[str, Any]], timeout: float) -> ProbeReport:
    end = lines[-1]
    if end["for"] == "time":
        raise LoadTimeout(
            f"It did not load and warm up within {timeout:g} seconds. Make it smaller or raise the setting "
            "STAGEDOOR_PROBE_TIMEOUT_SECONDS."
        )
    if end["for"] == "memory":
        raise OverBudget(
            "Loading it took more memory than the budget has. Make the model smaller or raise STAGEDOOR_MEMORY_BUDGET_MIB."
        )
    if len(lines) < 2:  # noqa: PLR2004  no report before the end
        raise LoadFailed(
            f"Loading it ended the process ({_cause(end['ended'])}). Load it with mlflow.pyfunc.load_model to see why."
        )
    report = lines[0]
    if "error" in report:
        raise _leaf(report["error"])(report["reason"])
    return ProbeReport(report["flavor"], report["memory_bytes"], report["load_seconds"], report["warm_seconds"])


def _leaf(name: str) -> type[ArtifactError]:
    leaf = getattr(errors, name, LoadFailed)
    return leaf if isinstance(leaf, type) and issubclass(leaf, ArtifactError) else LoadFailed


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
