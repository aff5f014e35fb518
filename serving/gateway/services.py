"""What the Flask app is given. Protocols name the little it needs of each part, so that tests can hand it less."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from serving.http import Reply, Request
from serving.values import TensorSpec
from stagedoor.auth import Principal
from stagedoor.domain.snapshot import ModelEntry
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings


class Authenticator(Protocol):
    """Tells who sent a request."""

    def authenticate(self, authorization: str | None, *, now: float, remote: str = "") -> Principal:
        """The sender. Raises TokenInvalid, TokenExpired and TooManyAttempts."""


class Plane(Protocol):
    """Answers predictions. Never raises."""

    def predict(self, request: Request) -> Reply:
        """Answer one prediction, or say as a problem why not."""


class Described(Protocol):
    """The part of a signature that people read."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the version takes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the version gives."""


class LoadedVersion(Protocol):
    """A version in this worker's memory."""

    @property
    def version(self) -> str:
        """Its number."""

    @property
    def flavor(self) -> str:
        """The key of the loader that loaded it."""

    @property
    def signature(self) -> Described:
        """What it takes and gives."""


class LiveModel(Protocol):
    """A model as this worker serves it."""

    @property
    def entry(self) -> ModelEntry:
        """The entry of the snapshot that is in force here."""

    @property
    def loaded(self) -> Mapping[str, Any]:
        """LoadedVersion by version number."""


class View(Protocol):
    """Everything that this worker serves at one moment."""

    @property
    def serial(self) -> int:
        """Serial of the snapshot; 0 before the first."""

    @property
    def models(self) -> Mapping[str, Any]:
        """LiveModel by name."""


class Pool(Protocol):
    """Where loaded versions are kept."""

    @property
    def view(self) -> Any:  # noqa: ANN401  a View; Protocols of attributes do not nest well with frozen dataclasses
        """The View of now."""

    def load(self, name: str, version: str, deadline_seconds: float) -> Any:  # noqa: ANN401  a LoadedVersion
        """The version, loaded if need be. Raises ModelNotFound, VersionNotReady and VersionRefused."""


def _nothing() -> None:
    """Nothing to write out before a scrape."""


@dataclass(frozen=True, slots=True)
class Services:
    """The parts behind the views. `before_scrape` writes out what has been counted and not yet told to Prometheus."""

    settings: Settings
    authenticator: Authenticator
    pool: Pool
    plane: Plane
    paths: StatePaths
    before_scrape: Callable[[], None] = _nothing
