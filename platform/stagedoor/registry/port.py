"""What Stagedoor asks of a model registry. One contract suite runs over every implementation."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stagedoor.domain.intent import ModelVersion, RegisteredModel


@dataclass(frozen=True, slots=True)
class Page:
    """Some models, ordered by name; `next` names the page that follows, and is empty after the last."""

    models: tuple[RegisteredModel, ...]
    next: str = ""


class Registry(Protocol):
    """Reads intent, fetches artifacts, writes findings. Safe to call from several threads at once.

    Every verb raises RegistryUnavailable (no answer in time, or a failing one), RegistryGarbled (an answer that makes no
    sense) or RegistryDenied (our token does not do), and never waits without a bound.
    """

    def models(self, only: Collection[str] = (), page: str = "") -> Page:
        """One page of all registered models, or of those of the names in `only` if there are any.

        The pages of one search follow each other by name. A model deleted before the next page is read moves those behind
        it forward, so that one of them is on no page. Reading a few of many is cheap for the server; a name that does not
        exist is left out.
        """

    def model(self, name: str) -> RegisteredModel:
        """One registered model. Raises RegistryNotFound."""

    def version(self, name: str, version: str) -> ModelVersion:
        """One version. Raises RegistryNotFound."""

    def fetch(self, version: ModelVersion, into: Path) -> None:
        """Copy all files of a version into the empty folder `into`, and nothing outside it.

        Raises RegistryNotFound if there is no such version, MissingArtifact if it has no files, UnsafeArtifact if a path
        leads out. After any error `into` may hold a part.
        """

    def tag_version(self, name: str, version: str, key: str, value: str) -> None:
        """Set one tag of a version, replacing its value. Raises RegistryNotFound."""
