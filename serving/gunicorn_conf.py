"""gunicorn's configuration for the gateway; `platform/deploy/gunicorn.conf.py` is the same for those who copy files.

Command-line options of gunicorn override everything here, `--bind` and `--workers` above all.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from serving.renewal import Renewal, asks
from stagedoor.gunicorn_log import JsonLogger
from stagedoor.paths import StatePaths
from stagedoor.settings import load_settings

_settings = load_settings()
_paths = StatePaths(_settings.state_dir)
_renewal = Renewal(_paths)

# prometheus_client reads this when it is first imported, which happens in the workers.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_paths.metrics)
_paths.metrics.mkdir(parents=True, exist_ok=True)

bind = "127.0.0.1:8000"
workers = 2
worker_class = "serving.lane.worker.LaneWorker"  # answers predictions itself, gives gunicorn's `asgi` worker the rest
asgi_loop = "uvloop"
asgi_lifespan = "on"
http_parser = "fast"  # "auto" takes the slower one in silence where the C parser is missing
loglevel = _settings.log_level
timeout = 60
graceful_timeout = 30
keepalive = 75  # longer than the 60 s of common load balancers: they, not we, close first
backlog = 2048
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 16_380  # a token of 8 kB fits
control_socket_disable = True
preload_app = False  # each worker loads its own models: sessions do not survive a fork, modules do (`on_starting`)
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  gunicorn's heartbeat file belongs in memory

logger_class = JsonLogger


def on_starting(server: Any) -> None:  # noqa: ANN401, ARG001  gunicorn's hook
    """Import for all workers, then start with empty counters; a reload keeps them."""
    _renewal.share()
    shutil.rmtree(_paths.metrics, ignore_errors=True)
    _paths.metrics.mkdir(parents=True, exist_ok=True)
    _renewal.begin()


def on_reload(server: Any) -> None:  # noqa: ANN401, ARG001  gunicorn's hook
    """Import what has come to be needed, while the old workers go on."""
    _renewal.share()
    _renewal.begin()


def pre_fork(server: Any, worker: Any) -> None:  # noqa: ANN401  gunicorn's hook
    """Import what has come to be needed since the last worker began; nothing, most of the time."""
    _renewal.share()
    if len(server.WORKERS) >= server.num_workers:  # only a reload forks more than there shall be
        _renewal.make_way(worker)


def post_fork(server: Any, worker: Any) -> None:  # noqa: ANN401, ARG001  gunicorn's hook
    """Let no two workers draw the same numbers: Python seeds its own anew after a fork, numpy does not."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def post_worker_init(worker: Any) -> None:  # noqa: ANN401  gunicorn's hook
    """Let the worker ask for its like that share more. Only the lane's loses no request when it is replaced."""
    if worker.cfg.workers > 1 and not worker.cfg.preload_app and worker.cfg.worker_class_str == worker_class:
        _renewal.watch(asks(worker.ppid))


def child_exit(server: Any, worker: Any) -> None:  # noqa: ANN401, ARG001  gunicorn's hook
    """Forget the live gauges and the connections of a worker that has ended."""
    from prometheus_client import multiprocess  # noqa: PLC0415  only now that the folder is set

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
    if worker.cfg.worker_class_str == worker_class:
        worker.leave_census()
