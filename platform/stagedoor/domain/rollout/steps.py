"""What `plan` asks to be done: decisions to write down, and steps in the world. Each step is idempotent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from stagedoor.domain.rollout.state import State
from stagedoor.domain.traffic import Route


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry for the ledger: what was decided on what evidence, and the state after it.

    `retreat` marks those that only take a version out of traffic: they may be carried out even while the ledger is dead.
    """

    kind: str
    state: State
    reason: str
    who: str
    from_version: str | None = None
    to_version: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    retreat: bool = False

    @property
    def key(self) -> str:
        """The place of this decision among its model's: there is one first, one second, and so on, whoever makes it."""
        return f"{self.state.model}/{self.state.serial}"


@dataclass(frozen=True, slots=True)
class CheckGates:
    """Have the gates look at `candidate` beside the live version, for `who`."""

    candidate: str
    live: str | None
    who: str


@dataclass(frozen=True, slots=True)
class SetRoute:
    """Write the tag `stagedoor.route`; None removes it."""

    route: Route | None


@dataclass(frozen=True, slots=True)
class MoveAlias:
    """Point `alias` at `version`, if it still names `expected`."""

    alias: str
    version: str
    expected: str


@dataclass(frozen=True, slots=True)
class MoveStage:
    """Put `version` into `stage`."""

    version: str
    stage: str


@dataclass(frozen=True, slots=True)
class TagVersion:
    """Set a tag of a version."""

    version: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class TagModel:
    """Set a tag of the model; None removes it."""

    key: str
    value: str | None


Step = CheckGates | SetRoute | MoveAlias | MoveStage | TagVersion | TagModel
