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
_BOOT: Final = "import sys; sys.path[:] = sys.argv[1].split('\\n'); from {} import main; main()"


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """A version that loads. `memory_bytes` is what it took, `warm_seconds` the time of one row (0: could not be tried)."""

    flavor: str
    memory_bytes: int
    load_seconds: float
    warm_seconds: float


@dataclass(frozen=True, slots=True)
class Errand:
    """What the children do: `module` has the `main` of the process that forks them. The two settings are named to people."""

    module: str
    time_setting: str
    memory_setting: str
    max_report: int = _MAX_REPORT


PROBE: Final = Errand("serving.loading.probe_server", "STAGEDOOR_PROBE_TIMEOUT_SECONDS", "STAGEDOOR_MEMORY_BUDGET_MIB")


class _Gone(Exception):
    """The process that forks probes is not there any more."""


class _Server:
    """A running process that forks children for an errand; ends with this process, however that ends."""

    def __init__(self, errand: Errand, kind: str) -> None:
        self._max_report = errand.max_report
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, "-c", _BOOT.format(errand.module), "\n".join(sys.path), str(theirs.fileno()), kind],
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
            return _read_lines(ours, time.monotonic() + timeout + _GRACE_SECONDS, self._max_report)

    def close(self) -> None:
        """End it and its children."""
        self._control.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5.0)


_servers: dict[tuple[str, str], _Server] = {}
# One for each errand and kind: importing MLflow takes seconds, for which no ONNX model should wait.
_starting: dict[tuple[str, str], threading.Lock] = {}


def probe(folder: Path, options: LoadOptions, timeout: float) -> ProbeReport:
    """Load and warm up the model in `folder` in a child process, within `timeout` seconds and `options.budget_bytes`.

    Raises the ArtifactError leaf that says why it must not serve: LoadTimeout, OverBudget, LoadFailed (a crash, too) and
    what the loaders raise. Safe to call from several threads. The first call for a kind of model starts a process.
    """
    report = run_in_child(PROBE, folder, options, timeout)
    return ProbeReport(report["flavor"], report["memory_bytes"], report["load_seconds"], report["warm_seconds"])


def run_in_child(errand: Errand, folder: Path, options: LoadOptions, timeout: float, **more: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON value
    """The report of a child that did `errand` with the model in `folder`; `more` goes into its request. Raises as `probe`."""
    key = (errand.module, _kind(folder))
    request = {"folder": str(folder.resolve()), "options": asdict(options), "timeout": timeout, **more}
    for last in (False, True):
        server = _server(errand, key)
        try:
            return _judge(server.ask(request, timeout), timeout, errand)
        except _Gone as error:
            _forget(key, server)
            if last:
                raise LoadFailed("The process that probes versions died, perhaps for lack of memory.") from error
    raise AssertionError("unreachable")


def stop_probing() -> None:
    """End the processes that probes are forked from. They also end by themselves with this process."""
    for key, lock in list(_starting.items()):
        with lock:
            server = _servers.pop(key, None)
            if server is not None:
                server.close()


def server_pids() -> dict[str, int]:
    """The processes that probes are forked from, by kind of model."""
    return {kind: server.pid for (module, kind), server in dict(_servers).items() if module == PROBE.module}


def _kind(folder: Path) -> str:
    """Which libraries the probe will need; a wrong guess only costs time. The file is parsed in the child, never here."""
    try:
        with (folder / "MLmodel").open("rb") as file:
            return "onnx" if b"\n  onnx:" in b"\n" + file.read(MIB) else "pyfunc"
    except OSError:
        return "onnx"


def _server(errand: Errand, key: tuple[str, str]) -> _Server:
    with _starting.setdefault(key, threading.Lock()):
        if key not in _servers:
            _servers[key] = _Server(errand, key[1])
        return _servers[key]


def _forget(key: tuple[str, str], server: _Server) -> None:
    with _starting[key]:
        if _servers.get(key) is server:
            del _servers[key]
            server.close()


def _read_lines(line: socket.socket, deadline: float, most: int) -> list[dict[str, Any]]:
    buffer = bytearray()
    while not (buffer.endswith(b"\n") and bytes(buffer[buffer.rfind(b"\n", 0, -1) + 1 :]).startswith(b'{"ended"')):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([line], [], [], left)[0]:
            raise _Gone
        try:
            chunk = line.recv(_MAX_REPORT)
        except OSError as error:  # it died with the question still in its hands
            raise _Gone from error
        if not chunk or len(buffer) > most:
            raise _Gone
        buffer += chunk
    lines = []
    for text in buffer.splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(text))
    return lines


def _judge(lines: list[dict[str, Any]], timeout: float, errand: Errand) -> dict[str, Any]:
    end = lines[-1]
    if end["for"] == "time":
        raise LoadTimeout(
            f"It did not load and warm up within {timeout:g} seconds. Make it smaller or raise the setting "
            f"{errand.time_setting}."
        )
    if end["for"] == "memory":
        raise OverBudget(
            f"Loading it took more memory than the budget has. Make the model smaller or raise {errand.memory_setting}."
        )
    if len(lines) < 2:  # noqa: PLR2004  no report before the end
        raise LoadFailed(
            f"Loading it ended the process ({_cause(end['ended'])}). Load it with mlflow.pyfunc.load_model to see why."
        )
    report = lines[0]
    if "error" in report:
        raise _leaf(report["error"])(report["reason"])
    return report


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
