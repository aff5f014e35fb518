"""What a gate is given and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from registry_hooks.gates.examination import Examination
from stagedoor.domain.intent import ModelVersion, RegisteredModel
from stagedoor.domain.rollout.findings import GateOutcome

NO_EVIDENCE: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Result:
    """`fail`: the version must not go live. `error`: nobody can say yet; it is asked again. `wait`: for a person, or for time.

    `reason` is a sentence for people that says what to do next. `evidence` is JSON.
    """

    outcome: GateOutcome
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=lambda: NO_EVIDENCE)


@dataclass(frozen=True, slots=True)
class GateFinding:
    """What the gate of that name answered."""

    gate: str
    result: Result


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a version could not be examined."""

    outcome: GateOutcome
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What else is known.

    `who` promoted the version ("" or `unknown`: nobody can say). `metrics` and `live_metrics` are those of the runs that the
    versions came from: None if the gate `metric` did not ask for them, or the version has no run; `metrics_trouble` says why
    they could not be read.
    """

    who: str = ""
    metrics: Mapping[str, float] | None = None
    live_metrics: Mapping[str, float] | None = None
    metrics_trouble: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One version at the gates.

    `live` is the version that is live, None if there is none. Exactly one of `examination` and `trouble` is there for the
    candidate, and of `live_examination` and `live_trouble` for the live version. `folder` holds the candidate's files where
    they are on this machine; `keys` the public keys that the operator trusts. `settings` is the tag
    `stagedoor.gate.<name>` of the model, for the gate that is asked.
    """

    model: RegisteredModel
    candidate: ModelVersion
    live: ModelVersion | None = None
    examination: Examination | None = None
    trouble: Trouble | None = None
    live_examination: Examination | None = None
    live_trouble: Trouble | None = None
    settings: str | None = None
    facts: Facts = Facts()
    folder: Path | None = None
    keys: Path | None = None


class Gate(Protocol):
    """Says whether a version may go live. A gate may veto; if it raises or takes too long, that is an `error`, never a pass.

    An attribute `optional = False` keeps people from switching it off by `stagedoor.gate.<name> = off`.
    """

    @property
    def name(self) -> str:
        """Lower-case letters, digits and dashes: the end of the tags `stagedoor.gate.<name>`."""

    def __call__(self, case: Case) -> Result:
        """Judge one case."""
