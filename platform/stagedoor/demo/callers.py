"""Applications that call a model: real rows at a steady rate, and what they got to see."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Final, Self

import requests

from stagedoor import names
from stagedoor.errors import ConfigurationError

CALLERS: Final = 4
"""So many connections, which reach all workers."""

_TIMEOUT_SECONDS: Final = 35.0
_OK: Final = 200


@dataclass(slots=True)
class Seen:
    """What came back. `stood_in` counts answers that another version gave because the chosen one had failed."""

    sent: int = 0
    errors: int = 0
    stood_in: int = 0
    versions: Counter[str] = field(default_factory=Counter)


def bodies(rows: Path) -> tuple[bytes, ...]:
    """Request bodies of one row each, with and without a zero by turns. Raises ConfigurationError without the file."""
    try:
        found = json.loads(rows.read_bytes())
        pairs = zip(cycle(found["with_zero"]), found["without_zero"], strict=False)
        return tuple(
            json.dumps({"dataframe_split": {"columns": found["columns"], "data": [row]}}).encode() for row in chain(*pairs)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            "The demo's rows are not in this state folder. Start the system there with `stagedoor up --demo`."
        ) from error


class Callers:
    """Sends `per_second` requests to the plain name of a model, from entering until leaving the context."""

    def __init__(self, gateway: str, model: str, token: str, payloads: Sequence[bytes], per_second: float) -> None:
        self._url = f"{gateway}/models/{model}/invocations"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._pause = CALLERS / per_second
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._seen = Seen()
        self._threads = [
            threading.Thread(target=self._run, args=(cycle(payloads), start), name="caller", daemon=True)
            for start in range(CALLERS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_SECONDS)

    @property
    def seen(self) -> Seen:
        """The counts of now."""
        with self._lock:
            return Seen(self._seen.sent, self._seen.errors, self._seen.stood_in, Counter(self._seen.versions))

    def _run(self, payloads: Iterator[bytes], start: int) -> None:
        due = time.monotonic() + self._pause * start / CALLERS
        with requests.Session() as session:
            session.headers.update(self._headers)
            for payload in islice(payloads, start * 7, None):  # an odd distance: callers do not send the same kind together
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                self._send(session, payload)
                due = max(due + self._pause, time.monotonic() - 1)  # never more than a second's worth to catch up with

    def _send(self, session: requests.Session, payload: bytes) -> None:
        try:
            answer = session.post(self._url, data=payload, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
        except requests.RequestException:
            answer = None
        with self._lock:
            self._seen.sent += 1
            if answer is None or answer.status_code != _OK:
                self._seen.errors += 1
                return
            self._seen.versions[answer.headers.get(names.HEADER_MODEL_VERSION, "")] += 1
            self._seen.stood_in += names.HEADER_SHIELDED_FROM in answer.headers
