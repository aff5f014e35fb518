"""Asking the gateway whether it serves certain models yet."""

import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import requests

from stagedoor.errors import ConfigurationError
from stagedoor.local.house import Stopped

LIVE_SECONDS: Final = 120.0


def wait_live(gateway: str, token: str, models: Sequence[str], stop: threading.Event, *, in_a_row: int) -> None:
    """Wait until each model is ready at `in_a_row` requests one after the other, each on a connection of its own.

    Workers share one port, and none can be asked for by name: several good answers in a row speak for all of them.
    Raises ConfigurationError that names the models that are missing when the time is over, and Stopped.
    """
    end = time.monotonic() + LIVE_SECONDS
    missing = list(models)
    good = 0
    while good < in_a_row:
        missing = [name for name in models if not _is_ready(gateway, token, name)]
        good = 0 if missing else good + 1
        if missing and time.monotonic() > end:
            reason = f"The gateway does not serve {', '.join(missing)} yet. `stagedoor status` and its log say why."
            raise ConfigurationError(reason)
        if stop.wait(0.1 if missing else 0):
            raise Stopped


def _is_ready(gateway: str, token: str, model: str) -> bool:
    try:
        answer = requests.get(
            f"{gateway}/v2/models/{quote(model, safe='')}/ready",
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
        )
    except requests.RequestException:
        return False
    return answer.status_code == HTTPStatus.OK
