"""Asking the gateway whether it serves certain models yet."""

import threading
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import requests

from stagedoor.errors import ConfigurationError
from stagedoor.local.house import Stopped

LIVE_SECONDS: Final = 300.0
_NOBODY: Final[Mapping[str, Any]] = {}


def wait_live(gateway: str, token: str, models: Sequence[str], stop: threading.Event, *, workers: int) -> None:
    """Wait until each model is live in each of so many workers.

    Raises ConfigurationError that says what is missing when the time is over, and Stopped.
    """
    end = time.monotonic() + LIVE_SECONDS
    while missing := what_is_missing(_status(gateway, token), models, workers):
        if time.monotonic() > end:
            reason = f"The gateway does not serve all of the demo: {missing}. `stagedoor status` and its log say why."
            raise ConfigurationError(reason)
        if stop.wait(0.2):
            raise Stopped


def what_is_missing(status: Mapping[str, Any], models: Sequence[str], workers: int) -> str:
    """What the gateway's `/status` lacks, in words; empty when each model is live in `workers` workers."""
    live = {model["name"] for model in status.get("models", ()) if model.get("route")}
    if waiting := [name for name in models if name not in live]:
        return f"nothing is live of {', '.join(waiting)}"
    current = [worker for worker in status.get("workers", ()) if worker.get("serial") == status.get("serial")]
    return "" if len(current) >= workers else f"{len(current)} of {workers} workers have loaded it"


def _status(gateway: str, token: str) -> Mapping[str, Any]:
    try:
        answer = requests.get(f"{gateway}/status", headers={"Authorization": f"Bearer {token}"}, timeout=5)
        body: Mapping[str, Any] = answer.json()
    except requests.RequestException:
        return _NOBODY
    return body if answer.status_code == HTTPStatus.OK else _NOBODY
