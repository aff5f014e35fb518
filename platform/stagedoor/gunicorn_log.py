"""gunicorn's own log lines in the form of all others."""

from typing import Any

from gunicorn.glogging import Logger

from stagedoor.telemetry import json_formatter


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """A `logger_class`. gunicorn's logconfig settings would switch the access log on as well."""

    def setup(self, cfg: Any) -> None:  # noqa: ANN401  gunicorn's signature
        """Set the logs up as gunicorn does, then change the format."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(json_formatter("gunicorn"))
