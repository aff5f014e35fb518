"""One question to a server of ours: bounded in time and size, no redirect, no proxy, no credentials but those given."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import requests
import urllib3

from stagedoor.errors import EvidenceUnavailable

CONNECT_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 3.0
MAX_BYTES: Final = 32 * 1024 * 1024
_CHUNK: Final = 256 * 1024

Params = Mapping[str, str | list[str]]


class Asker:
    """Keeps one connection to the server at `url`. Not for several threads at once."""

    def __init__(self, url: str, *, who: str) -> None:
        """`who` begins the sentences that say what went wrong, as in "The gateway"."""
        self._url = url.rstrip("/")
        self._who = f"{who} at {urlsplit(url).hostname}:{urlsplit(url).port or ''}".rstrip(":")
        self._session = requests.Session()
        self._session.trust_env = False  # neither proxies nor a .netrc file between the machines of one house
        self._session.headers.update({"User-Agent": "stagedoor"})

    def ask(self, path: str, params: Params | None = None, *, token: str | None = None, data: Params | None = None) -> bytes:
        """The body of a 200; a GET, or a POST of `data` as a form. Raises EvidenceUnavailable."""
        deadline = time.monotonic() + ANSWER_SECONDS
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with self._session.request(
                "GET" if data is None else "POST",
                self._url + path,
                params=params,
                data=data,
                headers=headers,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                stream=True,
                allow_redirects=False,
            ) as response:
                body = self._body(response, deadline)
                status = response.status_code
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise EvidenceUnavailable(f"{self._who} gave no answer ({type(error).__name__}).") from error
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise EvidenceUnavailable(f"{self._who} refuses the controller's token. Give both the same signing secret.")
        if status != HTTPStatus.OK:
            raise EvidenceUnavailable(f"{self._who} answered with status {status}.")
        return body

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        # read1 returns what has come: a server that drips single bytes cannot hold us beyond the deadline.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > MAX_BYTES:
                raise EvidenceUnavailable(f"{self._who} sent more than {MAX_BYTES} bytes.")
            if time.monotonic() > deadline:
                raise EvidenceUnavailable(f"{self._who} did not finish its answer in time.")
        return bytes(body)
