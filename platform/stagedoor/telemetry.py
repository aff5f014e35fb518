"""Structured logs: one JSON object a line on standard error, the same fields from every process."""

import logging
import sys
from typing import Any

import orjson
import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(component: str, level: str = "info") -> None:
    """Send this process's structlog events to standard error as JSON, each with `component`, `level` and an ISO time."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _naming(component),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _naming(component: str) -> structlog.typing.Processor:
    """Adds `component` to every line. Not a context variable: threads start with an empty context."""

    def add(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:  # noqa: ANN401
        event.setdefault("component", component)
        return event

    return add


def get_logger(**fields: Any) -> structlog.typing.FilteringBoundLogger:  # noqa: ANN401  any JSON value
    """A logger whose lines carry `fields`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**fields)
    return logger


def json_formatter(component: str) -> logging.Formatter:
    """A formatter that gives a logger of the standard library (gunicorn's above all) the same JSON lines."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            _Component(component),
            structlog.stdlib.add_logger_name,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )


class _Component:
    """Adds the component's name to a line."""

    def __init__(self, component: str) -> None:
        self._component = component

    def __call__(self, _logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["component"] = self._component
        return event
