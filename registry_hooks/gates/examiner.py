"""The process that examines versions: started with the first, kept with its libraries at hand, started anew if it dies."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from stagedoor.names import ENV_PREFIX

_STARTING_SECONDS: Final = 180.0
"""What the process may need beyond a version's own time: importing a framework on a busy machine takes long."""
_ENDING_SECONDS: Final = 5.0
_SECRET: Final = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|(?:API|ACCESS)_?KEY|DSN|DATABASE_UR[IL]")


class ExaminerGone(Exception):
    """The process died twice over one version, or gave no answer in time."""


class Examiner:
    """Asks `python -m serving.examine --serve`. Safe to call from several threads; a hanging version holds up no other.

    The process ends with this one, however this ends. It gets none of this process's secrets: it runs models' code.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._running: _Running | None = None

    @property
    def pid(self) -> int | None:
        """The process, None before the first examination."""
        running = self._running
        return running.pid if running is not None else None

    def examine(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The report on `request`, see `serving.examine.examining`. Raises ExaminerGone."""
        for last in (False, True):
            running = self._start()
            report = running.ask(request, float(request["timeout"]) + _STARTING_SECONDS)
            if report is not None:
                return report
            self._drop(running)
            if last:
                break
        raise ExaminerGone

    def close(self) -> None:
        """End the process. A later call starts another."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.close()

    def _start(self) -> "_Running":
        with self._lock:
            if self._running is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._running = _Running(self._folder)
            return self._running

    def _drop(self, running: "_Running") -> None:
        with self._lock:
            if self._running is running:
                self._running = None
        running.close()


class _Running:
    """One process; each request has a number and a queue that its report comes to."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "serving.examine", "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=without_secrets(os.environ),
            start_new_session=True,
        )
        self._waiting: dict[int, SimpleQueue[dict[str, Any] | None]] = {}
        self._count = 0
        self._ended = False
        self._lock = threading.Lock()
        threading.Thread(target=self._read, name="examiner", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any] | None:
        """The report; None if the process died or did not answer in time."""
        answer: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        assert self._process.stdin is not None  # noqa: S101  it was asked for
        with self._lock:
            if self._ended:
                return None
            self._count += 1
            number = self._count
            self._waiting[number] = answer
            try:
                self._process.stdin.write(json.dumps({**request, "id": number}).encode() + b"\n")
                self._process.stdin.flush()
            except OSError:
                return None
        try:
            return answer.get(timeout=seconds)
        except Empty:
            return None
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Let it end, and make it if it does not. All who wait are told."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_ENDING_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  it was asked for
        with self._process.stdout as reports:
            for line in reports:
                try:
                    report = json.loads(line)
                    waiting = self._waiting.get(report["id"])
                except (ValueError, KeyError, TypeError):
                    break  # it cannot be talked to any more
                if waiting is not None:
                    waiting.put(report)
        with self._lock:
            self._ended = True
            left = list(self._waiting.values())
        for waiting in left:
            waiting.put(None)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for code that models bring: without Stagedoor's and MLflow's variables, and without what looks secret."""
    return {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith((ENV_PREFIX, "MLFLOW_")) and not _SECRET.search(name.upper())
    }
