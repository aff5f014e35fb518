"""Planes started one by one, each in a process group of its own."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from stagedoor.local.process import Spec

from .system import START_SECONDS, quiet_environment, until


@contextmanager
def running(spec: Spec, **more: str) -> Iterator[None]:
    spec.folder.mkdir(parents=True, exist_ok=True)
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    environment = quiet_environment(**(dict(spec.environment) | more))
    with spec.log.open("ab") as log:
        process = subprocess.Popen(
            spec.command,
            cwd=spec.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def ready() -> bool:
        assert process.poll() is None, spec.log.read_text()[-3000:]
        try:
            return not spec.ready_url or requests.get(spec.ready_url, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    try:
        until(ready, f"{spec.name} is ready", START_SECONDS)
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end_group(process.pid)
            process.wait(20)


def _end_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
