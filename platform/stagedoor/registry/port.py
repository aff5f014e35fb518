"""What Stagedoor asks of a model registry. One contract suite runs over every implementation."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

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

    def tag_version(self, name: str, version: str, key: str, value: str | None) -> None:
        """Set one tag of a version, replacing its value; None deletes it. Raises RegistryNotFound."""


class Anything(Enum):
    """What an alias may name before it is moved, where that does not matter."""

    ANY = "any"


ANY: Final = Anything.ANY


class RegistryWriter(Protocol):
    """Changes intent and writes findings; each verb, done again, changes nothing more. Safe to call from several threads.

    Every verb raises RegistryUnavailable, RegistryGarbled or RegistryDenied as those of Registry do, and RegistryNotFound
    where the model, version or run does not exist. After RegistryUnavailable the change may have been made all the same.
    """

    def move_alias(self, name: str, alias: str, version: str | None, *, expected: str | Anything | None, who: str = "") -> None:
        """Let an alias name `version`, or nothing (None). `who` asked for it; by default the bearer of our token.

        Raises RegistryConflict if it names neither `expected` (None: nothing) nor `version` already. The guarded MLflow
        server checks that and moves in one, and writes down who it was. Any other server does not write it down, and
        somebody may come in between check and move.
        """

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        """Set one tag of a model, replacing its value; None deletes it."""

    def tag_version(self, name: str, version: str, key: str, value: str | None) -> None:
        """Set one tag of a version, replacing its value; None deletes it."""

    def move_stage(self, name: str, version: str, stage: str, *, who: str = "") -> None:
        """Move a version to a stage. Others stay where they are. `who` asked for it, as above."""

    def run_metrics(self, run_id: str) -> Mapping[str, float]:
        """The last value of each metric of a run; may hold NaN and infinities."""
