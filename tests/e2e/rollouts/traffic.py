"""Callers of one model: half of their numbers are negative. What came back is kept."""

import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

PER_SECOND = 50
CONNECTIONS = 4  # to reach both workers
_BODIES = tuple(json.dumps({"inputs": {"x": [[x]]}}).encode() for x in (4.0, -4.0, 9.0, -9.0))


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; status 0 where none came. `line` tells the connections, and so the workers, apart."""

    at: float
    status: int
    version: str = ""
    arm: str = ""
    epoch: int = 0
    shielded: str = ""
    request_id: str = ""
    line: int = 0
    body: bytes = b""


class Line:
    """One connection, kept open, opened anew when it broke."""

    _serial = iter(range(10**9))

    def __init__(self, gateway: str, model: str, token: str) -> None:
        self._host = urlsplit(gateway).netloc
        self._path = f"/models/{model}/invocations"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None
        self._number = 0

    def ask(self, body: bytes) -> Answer:
        began = time.time()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, timeout=10)
                self._number = next(self._serial)
            self._connection.request("POST", self._path, body, self._headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(began, 0)
        header = answer.headers.get
        found = Answer(
            began,
            answer.status,
            header("X-Model-Version", ""),
            header("X-Model-Arm", ""),
            int(header("X-Route-Epoch", "0")),
            header("X-Model-Shielded-From", ""),
            header("X-Request-Id", ""),
            self._number,
            content,
        )
        if answer.will_close:
            self.close()
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Traffic:
    """Steady requests for one model until it is left."""

    def __init__(self, gateway: str, model: str, token: str, per_second: float = PER_SECOND) -> None:
        self._lines = [Line(gateway, model, token) for _ in range(CONNECTIONS)]
        self._pause = 1 / per_second
        self.answers: list[Answer] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"traffic of {model}")

    def _run(self) -> None:
        number, due = 0, time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.answers.append(self._lines[number % CONNECTIONS].ask(_BODIES[number // CONNECTIONS % len(_BODIES)]))
            number, due = number + 1, max(due + self._pause, time.monotonic() - 1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        for line in self._lines:
            line.close()
        assert not self._thread.is_alive(), "a prediction hangs"

    # --- what was seen ---

    @property
    def statuses(self) -> set[int]:
        return {answer.status for answer in self.answers}

    @property
    def versions(self) -> set[str]:
        """Those that answered, or failed before another answered for them."""
        return {version for answer in self.answers for version in (answer.version, answer.shielded) if version}

    def since(self, moment: float) -> list[Answer]:
        """Those of requests sent after `moment`, in seconds since 1970."""
        return [answer for answer in list(self.answers) if answer.at > moment]

    def epochs_go_back(self) -> list[tuple[Answer, Answer]]:
        """Pairs of answers of one worker whose epochs are in the wrong order."""
        newest: dict[int, Answer] = {}
        found = []
        for answer in self.answers:
            if not answer.epoch:
                continue
            before = newest.get(answer.line)
            if before is not None and answer.epoch < before.epoch:
                found.append((before, answer))
            newest[answer.line] = answer
        return found
