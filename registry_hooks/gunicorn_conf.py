"""gunicorn's configuration for the controller. Command-line options override everything here.

One worker, since one controller decides; others stand by on other machines, or beside it.
"""

from typing import Any

from gunicorn.glogging import Logger

from stagedoor.settings import load_settings
from stagedoor.telemetry import json_formatter

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


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines in the format of all others."""

    def setup(self, cfg: Any) -> None:  # noqa: ANN401  gunicorn's signature
        """Set the logs up as gunicorn does, then change the format."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(json_formatter("gunicorn"))


logger_class = JsonLogger


def post_worker_init(worker: Any) -> None:  # noqa: ANN401, ARG001  gunicorn's hook
    """Begin to decide."""
    from registry_hooks.wsgi import control  # noqa: PLC0415  only the worker has one

    control.start()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ANN401, ARG001  gunicorn's hook
    """Let another controller lead."""
    from registry_hooks.wsgi import control  # noqa: PLC0415  the same

    control.stop()
