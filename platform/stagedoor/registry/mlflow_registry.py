"""MLflow's model registry over REST. Reading intent needs neither the mlflow package nor its retries of minutes."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests
import urllib3
from requests.auth import AuthBase

from stagedoor import names
from stagedoor.domain.intent import ModelVersion, RegisteredModel
from stagedoor.errors import RegistryConflict, RegistryDenied, RegistryGarbled, RegistryNotFound, RegistryUnavailable
from stagedoor.registry import mlflow_answers as answers
from stagedoor.registry.mlflow_artifacts import download
from stagedoor.registry.port import ANY, Anything, Page

MIB: Final = 1024 * 1024
MAX_ANSWER: Final = 64 * MIB
PAGE_SIZE: Final = 125
"""Models; reading one page must not keep the server, or a poll, for long."""
PAGES_KEPT: Final = 64
MAX_FILTER: Final = 2000
"""Characters; longer ones could exceed what servers and proxies take as an address once they are percent-encoded."""
FETCH_SECONDS: Final = 900.0
"""Longest time one version's files may take altogether; each silence within is bounded by the registry timeout."""

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


class MLflowRegistry:
    """Registry and RegistryWriter over an MLflow tracking server at `url`.

    `timeout` bounds each answer, in seconds; `token` is asked at each request, so that it can be renewed;
    `max_artifact_bytes` bounds the size of one version.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        token: TokenSource = lambda: None,
        max_artifact_bytes: int = 20_480 * MIB,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._auth = _Bearer(token)
        self._max_artifact_bytes = max_artifact_bytes
        self._threads = threading.local()
        self._page_size = page_size
        self._read_page = lru_cache(PAGES_KEPT)(answers.read_page)

    # --- Registry ---

    def models(self, only: Collection[str] = (), page: str = "") -> Page:
        """See Registry. A page whose bytes are known is not parsed again."""
        params = {"max_results": str(self._page_size), "filter": _filter(only), "page_token": page}
        found = self._read_page(self._get("registered-models/search", {key: text for key, text in params.items() if text}))
        return replace(found, models=tuple(model for model in found.models if model.name in only)) if only else found

    def model(self, name: str) -> RegisteredModel:
        """See Registry."""
        return answers.read_model(self._get("registered-models/get", {"name": name}))

    def version(self, name: str, version: str) -> ModelVersion:
        """See Registry."""
        return answers.read_version(self._get("model-versions/get", {"name": name, "version": version}))

    def fetch(self, version: ModelVersion, into: Path) -> None:
        """See Registry."""
        uri = answers.read_uri(self._get("model-versions/get-download-uri", {"name": version.name, "version": version.version}))
        deadline = time.monotonic() + FETCH_SECONDS
        room = self._max_artifact_bytes

        def list_folder(path: str) -> tuple[answers.File, ...]:
            return answers.read_files(self._ask("GET", "/api/2.0/mlflow-artifacts/artifacts", params={"path": path}))

        def save(path: str, file: Path) -> None:
            nonlocal room
            room -= self._save(f"/api/2.0/mlflow-artifacts/artifacts/{path}", file, room, deadline)

        download(uri, into, server=self._url, list_folder=list_folder, save=save)

    # --- RegistryWriter ---

    def move_alias(self, name: str, alias: str, version: str | None, *, expected: str | Anything | None, who: str = "") -> None:
        """See RegistryWriter. The expectation is checked here first, for servers that do not know its header."""
        headers = _speaking_for(who)
        if expected is not ANY:
            current = self.model(name).aliases.get(alias)
            if current == version:
                return
            if current != expected:
                raise RegistryConflict("The alias has been moved by somebody else in between.")
            headers[names.HEADER_EXPECTED_VERSION] = str(expected or "")
        body = {"name": name, "alias": alias, "version": version}
        self._change("registered-models/alias", body, delete=version is None, headers=headers)

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        """See RegistryWriter."""
        self._tag("registered-models", {"name": name, "key": key, "value": value})

    def tag_version(self, name: str, version: str, key: str, value: str | None) -> None:
        """See RegistryWriter."""
        self._tag("model-versions", {"name": name, "version": version, "key": key, "value": value})

    def move_stage(self, name: str, version: str, stage: str, *, who: str = "") -> None:
        """See RegistryWriter."""
        body = {"name": name, "version": version, "stage": stage, "archive_existing_versions": False}
        self._change("model-versions/transition-stage", body, headers=_speaking_for(who))

    def run_metrics(self, run_id: str) -> Mapping[str, float]:
        """See RegistryWriter."""
        return answers.read_metrics(self._get("runs/get", {"run_id": run_id}))

    # --- inside ---

    def _get(self, path: str, params: Mapping[str, str]) -> bytes:
        return self._ask("GET", f"/api/2.0/mlflow/{path}", params=params)

    def _tag(self, kind: str, tag: Mapping[str, str | None]) -> None:
        delete = tag["value"] is None
        self._change(f"{kind}/{'delete-tag' if delete else 'set-tag'}", tag, delete=delete)

    def _change(
        self, path: str, body: Mapping[str, object], *, delete: bool = False, headers: Mapping[str, str] | None = None
    ) -> None:
        said = {key: value for key, value in body.items() if value is not None}
        self._ask("DELETE" if delete else "POST", f"/api/2.0/mlflow/{path}", json=said, headers=headers)

    def _ask(self, method: str, path: str, **what: Any) -> bytes:  # noqa: ANN401  what requests takes
        body = bytearray()
        deadline = time.monotonic() + self._timeout
        status = self._exchange(method, path, body.extend, MAX_ANSWER, deadline, **what)
        _check_status(status, bytes(body))
        return bytes(body)

    def _save(self, path: str, file: Path, room: int, deadline: float) -> int:
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
                method, self._url + path, timeout=self._timeout, stream=True, allow_redirects=False, **what
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


def _filter(only: Collection[str]) -> str:
    """A search filter for these names; "" (all) where it would be too long for an address, or a name has a quote in it."""
    quoted = ", ".join(f"'{name}'" for name in sorted(only))
    return f"name IN ({quoted})" if only and len(quoted) <= MAX_FILTER and not any("'" in name for name in only) else ""


def _speaking_for(who: str) -> dict[str, str]:
    return {names.HEADER_ON_BEHALF_OF: quote(who, safe="")} if who else {}


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
