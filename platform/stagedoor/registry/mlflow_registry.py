"""MLflow's model registry over REST. Reading intent needs neither the mlflow package nor its retries of minutes."""

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

from stagedoor import names
from stagedoor.domain.intent import ModelVersion, RegisteredModel
from stagedoor.errors import RegistryConflict
from stagedoor.registry import mlflow_answers as answers
from stagedoor.registry.mlflow_artifacts import download
from stagedoor.registry.mlflow_http import MIB, MLflowHttp, TokenSource
from stagedoor.registry.port import ANY, Anything, Page

PAGE_SIZE: Final = 125
"""Models; reading one page must not keep the server, or a poll, for long."""
PAGES_KEPT: Final = 64
MAX_FILTER: Final = 2000
"""Characters; longer ones could exceed what servers and proxies take as an address once they are percent-encoded."""
FETCH_SECONDS: Final = 900.0
"""Longest time one version's files may take altogether; each silence within is bounded by the registry timeout."""


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
        self._http = MLflowHttp(url, timeout=timeout, token=token)
        self._max_artifact_bytes = max_artifact_bytes
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
            return answers.read_files(self._http.ask("GET", "/api/2.0/mlflow-artifacts/artifacts", params={"path": path}))

        def save(path: str, file: Path) -> None:
            nonlocal room
            room -= self._http.save(f"/api/2.0/mlflow-artifacts/artifacts/{path}", file, room, deadline)

        download(uri, into, server=self._http.url, list_folder=list_folder, save=save)

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
        return self._http.ask("GET", f"/api/2.0/mlflow/{path}", params=params)

    def _tag(self, kind: str, tag: Mapping[str, str | None]) -> None:
        delete = tag["value"] is None
        self._change(f"{kind}/{'delete-tag' if delete else 'set-tag'}", tag, delete=delete)

    def _change(
        self, path: str, body: Mapping[str, object], *, delete: bool = False, headers: Mapping[str, str] | None = None
    ) -> None:
        said = {key: value for key, value in body.items() if value is not None}
        self._http.ask("DELETE" if delete else "POST", f"/api/2.0/mlflow/{path}", json=said, headers=headers)


def _filter(only: Collection[str]) -> str:
    """A search filter for these names; "" (all) where it would be too long for an address, or a name has a quote in it."""
    quoted = ", ".join(f"'{name}'" for name in sorted(only))
    return f"name IN ({quoted})" if only and len(quoted) <= MAX_FILTER and not any("'" in name for name in only) else ""


def _speaking_for(who: str) -> dict[str, str]:
    return {names.HEADER_ON_BEHALF_OF: quote(who, safe="")} if who else {}
