"""The parts of a gateway worker, put together. Roots call it: serving.asgi and serving.wsgi, and nothing else."""

import asyncio
import sys
import time
from dataclasses import dataclass

from flask import Flask

from serving.books import Books
from serving.gateway.app import create_app
from serving.gateway.services import Services
from serving.plane import Plane
from serving.pool import Pool
from serving.recorder import Recorder
from serving.shadow import Shadow
from serving.units import UnitBook
from stagedoor.auth import Authenticator, build_authenticator
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings, load_settings
from stagedoor.telemetry import configure_logging

FIRST_LOAD_SECONDS = 30.0
"""How long a worker holds back from accepting while it loads what a snapshot already names."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One gateway worker: started once, stopped once."""

    settings: Settings
    paths: StatePaths
    authenticator: Authenticator
    pool: Pool
    plane: Plane
    recorder: Recorder
    flask: Flask

    def start(self) -> None:
        """Start the background threads, and wait for what a snapshot names: nobody shall meet an empty worker."""
        self.recorder.start()
        self.authenticator.start()
        self.pool.start()
        deadline = time.monotonic() + FIRST_LOAD_SECONDS
        while self.pool.view.serial == 0 and self.paths.snapshot.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def start_in_loop(self) -> None:
        """`start`, in the thread of a running event loop, which then writes the records of what it has answered."""
        self.start()
        self.recorder.count_in_loop(asyncio.get_running_loop().call_soon)

    def stop(self) -> None:
        """End the background threads and write out the last records."""
        self.pool.stop()
        self.plane.close()
        self.authenticator.close()
        self.recorder.stop()


def build_worker() -> Worker:
    """Read the settings and build the parts. Nothing is started. Raises ConfigurationError."""
    settings = load_settings()
    configure_logging("gateway", settings.log_level)
    paths = StatePaths(settings.state_dir)
    authenticator = build_authenticator(settings)
    recorder = Recorder(sys.stderr.buffer if settings.log_requests else None, UnitBook(paths.units))
    pool = Pool(settings, paths)
    plane = Plane(settings, authenticator, pool, Books(recorder), Shadow(settings.predict_timeout_seconds))
    services = Services(settings, authenticator, pool, plane, paths, before_scrape=recorder.catch_up)
    return Worker(settings, paths, authenticator, pool, plane, recorder, create_app(services))
