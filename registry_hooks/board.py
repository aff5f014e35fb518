"""What the controller last said of each model, for everybody in this process who is asked."""

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Json = Mapping[str, Any]


class Board:
    """Replaced as a whole by the controller, read by the REST views."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: Mapping[str, Json] = MappingProxyType({})
        self._missing: tuple[str, ...] = ("The controller has not read the registry yet.",)

    def publish(self, models: Mapping[str, Json], missing: tuple[str, ...] = ()) -> None:
        """Say how every model stands, and what the controller itself lacks."""
        with self._lock:
            self._models = MappingProxyType(dict(models))
            self._missing = missing

    def read(self) -> Mapping[str, Json]:
        """JSON by model."""
        with self._lock:
            return self._models

    def missing(self) -> tuple[str, ...]:
        """Why the controller cannot do its work; empty if it can."""
        with self._lock:
            return self._missing
