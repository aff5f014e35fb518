"""A system whose controllers may be killed: the processes of `stagedoor up`, but as many controllers as asked for."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from asking import settings_of
from rig import System, free_port, wait_for

from registry_hooks.ledger import Ledger, find_ledger
from stagedoor.local import specs
from stagedoor.local.house import answers
from stagedoor.local.process import Process, Spec
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

HOST = "127.0.0.1"
WORKERS = 2
START_SECONDS = 180.0
Victim = Literal["both", "worker", "master"]
VICTIMS: tuple[Victim, ...] = ("both", "worker", "master")
"""Processes of one controller under gunicorn: the worker decides, the master starts it again."""


class Controllers:
    """Starts each controller again as soon as it has ended, whoever ended it."""

    def __init__(self, each: list[Spec]) -> None:
        self._each = each
        self._processes = [Process.start(spec) for spec in each]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="controllers")
        self._thread.start()

    @property
    def urls(self) -> list[str]:
        """Where each answers."""
        return [spec.ready_url.removesuffix("/livez") for spec in self._each]

    def is_ready(self, number: int) -> bool:
        """Whether its REST answers."""
        return answers(self._each[number].ready_url)

    def kill(self, number: int, victim: Victim) -> int:
        """SIGKILL to processes of this controller; how many there were."""
        masters = _children(self._processes[number].pid)
        workers = [child for master in masters for child in _children(master)]
        chosen = {"both": [*masters, *workers], "worker": workers, "master": masters}[victim]
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(chosen)

    def end(self) -> None:
        """End all."""
        self._stop.set()
        self._thread.join(30)
        for process in self._processes:
            process.ask_to_end()
        for process in self._processes:
            process.end()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            for number, process in enumerate(self._processes):
                if process.exit_code() is not None:
                    process.end()
                    self._processes[number] = Process.start(self._each[number])


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@dataclass(frozen=True)
class Plant:
    """A running system, its controllers, and its ledger, read beside them."""

    system: System
    settings: Settings
    controllers: Controllers
    ledger: Ledger

    def states(self) -> dict[str, dict[str, Any]]:
        """What the controllers remember of each model."""
        return {name: dict(entry.state) for name, entry in self.ledger.latest().items()}


@contextmanager
def plant(count: int, ledger_url: str | None = None) -> Iterator[Plant]:
    """MLflow, resolver, gateway and `count` controllers, in new folders; the first one's folder is the system's."""
    root = Path(tempfile.mkdtemp(prefix="stagedoor-bench-"))
    secret = secrets.token_urlsafe(48)
    shared = {"STAGEDOOR_TOKEN_SECRET": secret, **({"STAGEDOOR_LEDGER_URL": ledger_url} if ledger_url else {})}
    paths = StatePaths(root / "0")
    for number in range(count):
        (root / str(number)).mkdir()
    mlflow, gateway, *controllers = (f"http://{HOST}:{port}" for port in _ports(count + 2))
    key, webhook_secret = specs.webhook_key(paths), specs.webhook_secret(paths)
    nudges = tuple(f"{url}/nudge" for url in (gateway, *controllers))
    residents = [
        specs.mlflow_server(paths, HOST, _port(mlflow), nudge_urls=nudges, webhook_key=key),
        specs.resolver(paths, mlflow, "route"),
        specs.gateway(paths, mlflow, HOST, _port(gateway), WORKERS, follow="route", controller_url=controllers[0]),
    ]
    deciding = [
        specs.controller(StatePaths(root / str(n)), mlflow, (gateway,), HOST, _port(url), secret=webhook_secret)
        for n, url in enumerate(controllers)
    ]
    started: list[Process] = []
    group: Controllers | None = None
    try:
        started += [Process.start(_with(spec, shared)) for spec in residents]
        _ready(residents)
        group = Controllers([_with(spec, shared) for spec in deciding])
        _ready(deciding)
        settings = settings_of(root / "0", token_secret=secret)
        yield Plant(
            System(root / "0", mlflow, gateway, {}, os.getpid(), controllers[0]),
            settings,
            group,
            find_ledger(ledger_url or paths.ledger),
        )
    finally:
        if group is not None:
            group.end()
        for process in reversed(started):
            process.end()
        shutil.rmtree(root, ignore_errors=True)


def _with(spec: Spec, more: dict[str, str]) -> Spec:
    return replace(spec, environment={**spec.environment, **more})


def _ready(several: list[Spec]) -> None:
    for spec in several:
        if spec.ready_url:
            wait_for(lambda spec=spec: answers(spec.ready_url), START_SECONDS, spec.name)


def _ports(count: int) -> list[int]:
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return sorted(found)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def under_way(state: dict[str, Any]) -> str | None:
    """The phase of its rollout, if there is one; `ending` while an alias has still to be put back."""
    if state["rollout"]:
        return str(state["rollout"]["phase"])
    return "ending" if state["last"] and state["last"]["is_open"] else None
