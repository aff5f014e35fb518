"""A cohort's requests at a bounded rate, and what came of them."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote

import requests

from stagedoor import names
from stagedoor.cli.asking import Service

WORKERS: Final = 8
"""So many requests are on their way at once: a latency fault holds each for two seconds."""

_TIMEOUT_SECONDS: Final = 35.0
_OK: Final = 200


@dataclass(slots=True)
class Tally:
    """What the cohort saw. `first_candidate` is the monotonic time of its first request to the arm on trial."""

    sent: int = 0
    errors: int = 0
    candidate: int = 0
    shielded: int = 0
    slowest: float = 0.0
    first_candidate: float | None = None
    statuses: Counter[int] = field(default_factory=Counter)


class Traffic:
    """Sends `per_second` requests with the cohort's header from entering until leaving the context."""

    def __init__(self, gateway: Service, model: str, body: bytes, cohort: str, per_second: float) -> None:
        self._url = f"{gateway.address}/models/{quote(model, safe='')}/invocations"
        self._headers = {
            "Authorization": f"Bearer {gateway.token}",
            "Content-Type": "application/json",
            names.HEADER_COHORT: cohort,
        }
        self._body = body
        self._pause = 1 / per_second
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._room = threading.Semaphore(WORKERS)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="drill")
        self._thread = threading.Thread(target=self._run, name="drill", daemon=True)
        self._tally = Tally()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)

    @property
    def tally(self) -> Tally:
        """The counts of now."""
        return self._tally

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            if self._room.acquire(blocking=False):  # with all of them on their way the rate falls instead of piling up
                self._pool.submit(self._send)

    def _send(self) -> None:
        began = time.monotonic()
        try:
            answer: requests.Response | None = requests.post(
                self._url, data=self._body, headers=self._headers, timeout=_TIMEOUT_SECONDS, allow_redirects=False
            )
        except requests.RequestException:
            answer = None
        finally:
            self._room.release()
        self._count(answer, began)

    def _count(self, answer: requests.Response | None, began: float) -> None:
        with self._lock:
            tally = self._tally
            tally.sent += 1
            tally.slowest = max(tally.slowest, time.monotonic() - began)
            status = answer.status_code if answer is not None else 0
            tally.statuses[status] += 1
            tally.errors += status != _OK
            if answer is None:
                return
            shielded = names.HEADER_SHIELDED_FROM in answer.headers
            tally.shielded += shielded
            if shielded or answer.headers.get(names.HEADER_MODEL_ARM) == names.ARM_CANDIDATE:
                tally.candidate += 1
                tally.first_candidate = tally.first_candidate or began
