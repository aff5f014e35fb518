"""What the world has to say about a rollout, gathered before `plan` is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from stagedoor.domain.evidence import Evidence

GateOutcome = Literal["pass", "fail", "error", "wait"]
_WORST: Final[tuple[GateOutcome, ...]] = ("fail", "error", "wait", "pass")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one gate said of a version. `evidence` is JSON."""

    gate: str
    outcome: GateOutcome
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Node:
    """One gateway machine: whether it answers as ready, and the least epoch of this model's route among its workers."""

    name: str
    ready: bool
    epoch: int


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything known now of one model.

    `gates` maps (candidate, live) to what the gates said; a pair that is absent has not been examined yet. `evidence` maps
    epochs to counts and is None while nobody can tell; where not all gateways told, it is not `complete`: good enough to roll
    back on, never to go on with. `stable_p99` is in seconds; `nodes` are the gateways.
    """

    gates: Mapping[tuple[str, str | None], tuple[Finding, ...]] = field(default_factory=lambda: MappingProxyType({}))
    evidence: Mapping[int, Evidence] | None = None
    complete: bool = True
    stable_p99: float | None = None
    nodes: tuple[Node, ...] = ()

    def of(self, epoch: int) -> Evidence | None:
        """The counts of one epoch: empty if none came yet, None while nobody can tell."""
        return None if self.evidence is None else self.evidence.get(epoch, Evidence(epoch))


def worst(findings: tuple[Finding, ...]) -> GateOutcome:
    """What all gates together say. No gates at all say `error`: silence lets nothing pass."""
    outcomes = {finding.outcome for finding in findings}
    return next((outcome for outcome in _WORST if outcome in outcomes), "error")


def reasons(findings: tuple[Finding, ...], outcome: GateOutcome) -> str:
    """The sentences of the gates with that outcome."""
    return "; ".join(f"{finding.gate}: {finding.reason}" for finding in findings if finding.outcome == outcome)
