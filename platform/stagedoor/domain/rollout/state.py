"""What the controller remembers of one model. It lies in the ledger beside each decision, so that any controller can go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self

from stagedoor.domain.judge import START, BaseRates, Carried
from stagedoor.domain.rollout.findings import Finding
from stagedoor.domain.route_tag import read_route, write_route
from stagedoor.domain.strategy import Strategy
from stagedoor.domain.traffic import Drill, Route

Phase = Literal["gating", "canary", "shadow", "rolling", "baking", "drill"]
OutcomeKind = Literal["promoted", "rolled_back", "refused", "aborted", "returned", "drilled"]

KEPT: Final = 20
"""Versions remembered as gated or as formerly live."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A version on its way to be live.

    `attempt` tells it from other tries of the same version, and salts its split. `text` is the strategy as written. `base`
    and `slow_seconds` are frozen when traffic begins; `carried` is the evidence of closed epochs; `seen` counts the stable
    version's outcomes, failures and slow answers in them.
    """

    candidate: str
    attempt: str
    text: str
    who: str
    started_at: float
    phase: Phase = "gating"
    step: int = 0
    step_at: float = 0.0
    base: BaseRates = field(default_factory=lambda: BaseRates(0.01, None))
    slow_seconds: float | None = None
    carried: Carried = START
    seen: tuple[int, int, int] = (0, 0, 0)
    nodes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    drill: Drill | None = None

    @property
    def strategy(self) -> Strategy:
        """The plan in force; it was checked when the rollout began."""
        return Strategy.parse(self.text)

    @property
    def share(self) -> int:
        """The candidate's share of this step, in basis points."""
        return self.strategy.steps[self.step]


@dataclass(frozen=True, slots=True)
class Last:
    """How the last rollout ended.

    `is_open`: the version was turned away, and the alias still has to stop naming it before naming it can be a new wish.
    `restore` is what the controller puts the alias back to meanwhile.
    """

    outcome: OutcomeKind
    version: str
    reason: str
    at: float
    epoch: int
    findings: tuple[Finding, ...] = ()
    restore: str | None = None
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Life:
    """A version that was live until `until`."""

    version: str
    until: float


@dataclass(frozen=True, slots=True)
class State:
    """One model after `serial` decisions.

    `stable` is the version that is live. `gated` are versions that passed the gates, `refused` those that did not and that an
    alias of a split still names. `drilled` is the last drill's cohort. `born` is when the model was registered: another model
    of the same name has versions of its own.
    """

    model: str
    serial: int = 0
    born: int = 0
    epoch: int = 0
    stable: str | None = None
    route: Route | None = None
    rollout: Rollout | None = None
    last: Last | None = None
    lived: tuple[Life, ...] = ()
    gated: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    drilled: str = ""

    def with_gated(self, version: str) -> Self:
        """This state after `version` has passed the gates."""
        kept = [other for other in self.gated if other != version][-KEPT + 1 :]
        return replace(self, gated=(*kept, version), refused=tuple(other for other in self.refused if other != version))

    def of_model_born(self, at: int) -> Self:
        """This state if it is of the model registered `at`, else a new one that goes on counting: epochs never go back."""
        if self.born in {0, at}:
            return replace(self, born=at)
        return type(self)(self.model, self.serial, at, self.epoch)

    def to_json(self) -> dict[str, Any]:
        """As JSON; `from_json` reads it."""
        return {
            "model": self.model,
            "serial": self.serial,
            "born": self.born,
            "epoch": self.epoch,
            "stable": self.stable,
            "route": write_route(self.route) if self.route else None,
            "rollout": _rollout_out(self.rollout) if self.rollout else None,
            "last": _last_out(self.last) if self.last else None,
            "lived": [[life.version, life.until] for life in self.lived],
            "gated": list(self.gated),
            "refused": list(self.refused),
            "drilled": self.drilled,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote. Raises KeyError, TypeError and ValueError for anything else."""
        route, rollout, last = data["route"], data["rollout"], data["last"]
        return cls(
            data["model"],
            data["serial"],
            data["born"],
            data["epoch"],
            data["stable"],
            read_route(route) if route else None,
            _rollout_in(rollout) if rollout else None,
            _last_in(last) if last else None,
            tuple(Life(version, until) for version, until in data["lived"]),
            tuple(data["gated"]),
            tuple(data["refused"]),
            data["drilled"],
        )


def _rollout_out(rollout: Rollout) -> dict[str, Any]:
    drill = rollout.drill
    return {
        "candidate": rollout.candidate,
        "attempt": rollout.attempt,
        "strategy": rollout.text,
        "who": rollout.who,
        "started_at": rollout.started_at,
        "phase": rollout.phase,
        "step": rollout.step,
        "step_at": rollout.step_at,
        "base": [rollout.base.failures, rollout.base.slow],
        "slow_seconds": rollout.slow_seconds,
        "carried": rollout.carried.to_json(),
        "seen": list(rollout.seen),
        "nodes": list(rollout.nodes),
        "findings": findings_out(rollout.findings),
        "drill": [drill.fault, drill.rate, drill.cohort, drill.until] if drill else None,
    }


def _rollout_in(data: Mapping[str, Any]) -> Rollout:
    outcomes, failures, slow = data["seen"]
    return Rollout(
        candidate=data["candidate"],
        attempt=data["attempt"],
        text=data["strategy"],
        who=data["who"],
        started_at=data["started_at"],
        phase=data["phase"],
        step=data["step"],
        step_at=data["step_at"],
        base=BaseRates(*data["base"]),
        slow_seconds=data["slow_seconds"],
        carried=Carried.from_json(data["carried"]),
        seen=(outcomes, failures, slow),
        nodes=tuple(data["nodes"]),
        findings=_findings_in(data["findings"]),
        drill=Drill(*data["drill"]) if data["drill"] else None,
    )


def _last_out(last: Last) -> dict[str, Any]:
    return {
        "outcome": last.outcome,
        "version": last.version,
        "reason": last.reason,
        "at": last.at,
        "epoch": last.epoch,
        "findings": findings_out(last.findings),
        "restore": last.restore,
        "is_open": last.is_open,
    }


def _last_in(data: Mapping[str, Any]) -> Last:
    return Last(
        data["outcome"],
        data["version"],
        data["reason"],
        data["at"],
        data["epoch"],
        _findings_in(data["findings"]),
        data["restore"],
        data["is_open"],
    )


def findings_out(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """Findings as JSON."""
    return [
        {"gate": one.gate, "outcome": one.outcome, "reason": one.reason, "evidence": dict(one.evidence)} for one in findings
    ]


def _findings_in(data: list[dict[str, Any]]) -> tuple[Finding, ...]:
    return tuple(Finding(one["gate"], one["outcome"], one["reason"], one["evidence"]) for one in data)
