"""`python -m serving.resolver`: follow the registry until SIGTERM or SIGINT."""

import os
import signal
import sys
import threading
from functools import partial

from serving.loading.loaders.options import LoadOptions
from serving.loading.probe import probe
from serving.resolver.wiring import build_resolver, only_one, run, token_source
from stagedoor.errors import ConfigurationError
from stagedoor.paths import StatePaths
from stagedoor.registry.mlflow_registry import MLflowRegistry
from stagedoor.settings import MIB, Settings, load_settings
from stagedoor.telemetry import configure_logging, get_logger


def main() -> int:
    """Run the resolver of this machine. Returns the exit code: 0 after a signal, 2 if it cannot start like this."""
    try:
        settings = load_settings()
        configure_logging("resolver", settings.log_level)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        paths = StatePaths(settings.state_dir)
        with only_one(paths):
            _follow(settings, paths, stop)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _follow(settings: Settings, paths: StatePaths, stop: threading.Event) -> None:
    registry = MLflowRegistry(
        str(settings.mlflow_url),
        timeout=settings.registry_timeout_seconds,
        token=token_source(settings),
        max_artifact_bytes=settings.disk_budget_mib * MIB,
    )
    options = LoadOptions.of(settings)
    probe_one = partial(probe, options=options, timeout=settings.probe_timeout_seconds)
    resolver = build_resolver(settings, paths, registry, probe_one)
    get_logger().info("resolver_started", serial=resolver.snapshot.serial, models=len(resolver.snapshot.models))
    run(resolver, stop)
    get_logger().info("resolver_stopped")


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # A download or a probe may still be under way; the ordinary end of Python would wait for its thread.
    os._exit(code)
