"""MLflow's REST interface with bounds: in time, in bytes, and in what an answer may mean."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import requests
import urllib3
from requests.auth import AuthBase

from stagedoor.errors import RegistryConflict, RegistryDenied, RegistryGarbled, RegistryNotFound, RegistryUnavailable
from stagedoor.registry import mlflow_answers as answers

MIB: Final = 1024 * 1024
MAX_ANSWER: Final = 64 * MIB

_CHUNK: Final = 256 * 1024
_OK: Final = 200

TokenSource = Callable[[], str | None]


class _Bearer(AuthBase):
    """The token at the moment of the request. As `auth` it also keeps a .netrc file from replacing it."""

    def __init__(self, token: TokenSource) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._token()
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request


class MLflowHttp:
    """Sends requests to the MLflow server at `url`. Safe to call from several threads at once.

    `timeout` bounds each answer, in seconds; `token` is asked at each request, so that it can be renewed.
    """

    def __init__(self, url: str, *, timeout: float, token: TokenSource) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._auth = _Bearer(token)
        self._threads = threading.local()

    def ask(self, method: str, path: str, **what: Any) -> bytes:  # noqa: ANN401  what requests takes
        """The body of a good answer. Raises the leaves of RegistryError."""
        body = bytearray()
        deadline = time.monotonic() + self._timeout
        status = self._exchange(method, path, body.extend, MAX_ANSWER, deadline, **what)
        _check_status(status, bytes(body))
        return bytes(body)

    def save(self, path: str, file: Path, room: int, deadline: float) -> int:
        """Write the answer to a new file; gives its size. Raises as `ask`, and RegistryGarbled over `room` bytes."""
        with file.open("xb") as out:
            status = self._exchange("GET", path, out.write, room, deadline)
            size = out.tell()
        if status != _OK:
            with file.open("rb") as said:
                _check_status(status, said.read(MIB))
        return size

    def _exchange(
        self,
        method: str,
        path: str,
        write: Callable[[bytes], object],
        room: int,
        deadline: float,
        **what: Any,  # noqa: ANN401  what requests takes
    ) -> int:
        """Send one request and hand its body to `write`; at most `room` bytes, and nothing after the deadline."""
        try:
            with self._session().request(
                method, self.url + path, timeout=self._timeout, stream=True, allow_redirects=False, **what
            ) as response:
                # read1 returns what has come: a server that drips single bytes cannot hold us beyond the deadline.
                while chunk := response.raw.read1(_CHUNK, decode_content=True):
                    room -= len(chunk)
                    if room < 0:
                        raise RegistryGarbled("The registry's answer is larger than allowed.")
                    if time.monotonic() > deadline:
                        raise RegistryUnavailable("The registry did not finish its answer in time.")
                    write(chunk)
                return response.status_code
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise RegistryUnavailable(f"The registry gave no answer ({type(error).__name__}).") from error

    def _session(self) -> requests.Session:
        """One session for each thread; requests does not promise more."""
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = requests.Session()
            session.auth = self._auth
            session.headers.update({"Accept-Encoding": "identity", "User-Agent": "stagedoor"})
        return session


def _check_status(status: int, body: bytes) -> None:
    if status == _OK:
        return
    if status in {401, 403}:
        raise RegistryDenied("MLflow refuses the token of this process. Set STAGEDOOR_MLFLOW_TOKEN to one that it accepts.")
    if status == 404 and answers.says_not_found(body):  # noqa: PLR2004  not found
        raise RegistryNotFound("MLflow has nothing of that name.")
    if status == 412:  # noqa: PLR2004  precondition failed: the guarded server's word
        raise RegistryConflict("The alias has been moved by somebody else in between.")
    if status == 429 or status >= 500:  # noqa: PLR2004  too busy, or failing
        raise RegistryUnavailable(f"MLflow answered with status {status}.")
    raise RegistryGarbled(f"MLflow answered with status {status}, which it should not here.")
