"""What the desk needs of the world, so that tests can hand it less."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from stagedoor.domain.evidence import Evidence
from stagedoor.domain.intent import ModelVersion, RegisteredModel

Json = dict[str, Any]


class Books(Protocol):
    """The verbs of Registry and RegistryWriter that commands are made of. Errors are those of RegistryError."""

    def model(self, name: str) -> RegisteredModel:
        """One registered model. Raises RegistryNotFound."""

    def version(self, name: str, version: str) -> ModelVersion:
        """One version. Raises RegistryNotFound."""

    def move_alias(self, name: str, alias: str, version: str | None, *, expected: str | None, who: str) -> None:
        """Point `alias` at `version` for `who`, or remove it. Raises RegistryConflict if it does not name `expected`."""

    def move_stage(self, name: str, version: str, stage: str, *, who: str) -> None:
        """Put a version into a stage for `who`."""

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        """Set a tag of the model; None removes it."""

    def tag_version(self, name: str, version: str, key: str, value: str | None) -> None:
        """Set a tag of a version; None removes it."""


class Entry(Protocol):
    """One row of the ledger."""

    @property
    def seq(self) -> int:
        """Its number, without gaps."""

    @property
    def at(self) -> float:
        """When, in seconds since 1970."""

    @property
    def model(self) -> str:
        """Whose."""

    @property
    def kind(self) -> str:
        """What was decided."""

    @property
    def who(self) -> str:
        """Who asked for it."""

    @property
    def from_version(self) -> str | None:
        """The version before."""

    @property
    def to_version(self) -> str | None:
        """The version after."""

    @property
    def epoch(self) -> int:
        """The epoch of the route after it."""

    @property
    def reason(self) -> str:
        """Why, in a sentence."""

    @property
    def evidence(self) -> Mapping[str, Any]:
        """On what evidence."""

    @property
    def state(self) -> Mapping[str, Any]:
        """The controller's state after it; `stable` is the version that is live, `route` the tag's text."""

    @property
    def generation(self) -> int:
        """The lease under which it was written."""

    @property
    def hash(self) -> str:
        """The end of the chain with this row."""


class Verification(Protocol):
    """What a walk along the chain found."""

    @property
    def sound(self) -> bool:
        """Whether every row is as written and none is missing."""

    @property
    def rows(self) -> int:
        """Sound rows."""

    @property
    def first_bad(self) -> int | None:
        """The first row that is not what was written."""

    @property
    def why(self) -> str:
        """What is wrong with it."""

    @property
    def head(self) -> str:
        """The hash of the newest sound row."""


class Ledger(Protocol):
    """The part of the ledger that is read here. Raises LedgerUnavailable."""

    def history(self, model: str, *, until: float | None = None, limit: int = 100) -> Sequence[Entry]:
        """The newest entries of one model at or before `until`, newest first."""

    def of_epoch(self, model: str, epoch: int) -> Entry | None:
        """The newest entry with that epoch."""

    def verify(self) -> Verification:
        """Walk along the chain."""


class Board(Protocol):
    """What the controller last said of each model."""

    def read(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON by model."""


class EvidenceSource(Protocol):
    """What the gateways counted."""

    def read(self, models: Collection[str], now: float) -> Mapping[str, Mapping[int, Evidence]]:
        """Evidence by model and epoch. Raises EvidenceUnavailable."""
