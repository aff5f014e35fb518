"""The processes of one machine, kept running until somebody says stop."""

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import requests

from stagedoor.errors import ConfigurationError
from stagedoor.local.process import Process, Spec
from stagedoor.local.restarts import after_exit

READY_SECONDS: Final = 120.0
_GLANCE_SECONDS: Final = 0.1

Tell = Callable[[str], None]


class Stopped(Exception):
    """Somebody asked to stop while something was still starting."""


class _Resident:
    """One process and its record."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.process = Process.start(spec)
        self.started = time.monotonic()
        self.failures = 0
        self.restart_at: float | None = None


class House:
    """Starts processes, waits until they answer, starts them again when they die, and ends them all, newest first.

    `stop` ends every wait; `tell` takes sentences for people. Use it as a context manager: leaving it leaves no process.
    """

    def __init__(self, stop: threading.Event, tell: Tell) -> None:
        self._stop = stop
        self._tell = tell
        self._residents: list[_Resident] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for resident in reversed(self._residents):
            resident.process.end()

    def start(self, spec: Spec) -> None:
        """Start it and return at once; `wait_ready` finds out what became of it."""
        self._residents.append(_Resident(spec))

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every process with a `ready_url` answers there. Raises ConfigurationError with the end of its log."""
        for resident in self._residents:
            if resident.spec.ready_url:
                self._await(resident, seconds)

    def run(self, *, every: Callable[[], None] = lambda: None) -> None:
        """Watch over all until `stop` is set, calling `every` a few times a second."""
        while not self._stop.wait(_GLANCE_SECONDS):
            every()
            self.check()

    def check(self) -> None:
        """Look at each process once; begin or carry out restarts."""
        now = time.monotonic()
        for resident in self._residents:
            if resident.restart_at is not None:
                if now >= resident.restart_at:
                    self._revive(resident, now)
            elif (code := resident.process.exit_code()) is not None:
                decision = after_exit(now - resident.started, resident.failures)
                resident.failures, resident.restart_at = decision.failures, now + decision.after
                name, log = resident.spec.name, resident.spec.log
                self._tell(
                    f"{name} ended unasked (exit code {code}); starting it again in {decision.after:g} s. Its log: {log}"
                )

    def _revive(self, resident: _Resident, now: float) -> None:
        resident.process.end()
        resident.process = Process.start(resident.spec)
        resident.started, resident.restart_at = now, None

    def _await(self, resident: _Resident, seconds: float) -> None:
        spec = resident.spec
        end = time.monotonic() + seconds
        while not answers(spec.ready_url):
            if self._stop.wait(_GLANCE_SECONDS):
                raise Stopped
            self._check_starters()
            if time.monotonic() > end:
                raise ConfigurationError(_failure(resident, f"was not ready within {seconds:g} seconds"))
        self._check_starters()

    def _check_starters(self) -> None:
        """Nobody may die while the house is not yet ready: a restart would only hide the reason."""
        for resident in self._residents:
            code = resident.process.exit_code()
            if code is not None:
                raise ConfigurationError(_failure(resident, f"could not start (exit code {code})"))


def answers(address: str, timeout: float = 1.0) -> bool:
    """Whether a GET there gives 200."""
    try:
        answer = requests.get(address, timeout=timeout, allow_redirects=False)
    except requests.RequestException:
        return False
    return answer.status_code == HTTPStatus.OK


def _failure(resident: _Resident, what: str) -> str:
    end_of_log = resident.process.tail() or "(empty)"
    return f"{resident.spec.name} {what}. The end of its log, {resident.spec.log}:\n{end_of_log}"
