"""gunicorn's configuration for the controller. Command-line options override everything here.

One worker, since one controller decides; others stand by on other machines, or beside it.
"""

from typing import Any

from stagedoor.gunicorn_log import JsonLogger
from stagedoor.settings import load_settings

bind = "127.0.0.1:8001"
workers = 1
worker_class = "gthread"
threads = 8
loglevel = load_settings().log_level
timeout = 60
graceful_timeout = 10
keepalive = 5
limit_request_field_size = 16_380  # a token of 8 kB fits
control_socket_disable = True
preload_app = False  # its threads and its lease do not survive a fork

logger_class = JsonLogger


def post_worker_init(worker: Any) -> None:  # noqa: ANN401, ARG001  gunicorn's hook
    """Begin to decide."""
    from registry_hooks.wsgi import control  # noqa: PLC0415  only the worker has one

    control.start()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ANN401, ARG001  gunicorn's hook
    """Let another controller lead."""
    from registry_hooks.wsgi import control  # noqa: PLC0415  the same

    control.stop()
