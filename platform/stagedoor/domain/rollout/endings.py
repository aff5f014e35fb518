"""The ways a rollout ends."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stagedoor.domain.judge import Verdict
from stagedoor.domain.rollout.routes import ended, routed
from stagedoor.domain.rollout.situation import Situation
from stagedoor.domain.rollout.state import Last, OutcomeKind, Rollout
from stagedoor.domain.rollout.steps import Decision

CONTROLLER = "stagedoor"
"""The author of what nobody asked for: verdicts."""


def promoted(at: Situation, rollout: Rollout, reason: str, verdict: Verdict | None = None) -> Decision:
    """The candidate is live."""
    state, now = at.state, at.now
    lived = ended(state, state.stable, now)
    after = replace(state, stable=rollout.candidate, rollout=None, lived=lived).with_gated(rollout.candidate)
    after = routed(at, after, reason, rollout.who)
    after = replace(after, last=Last("promoted", rollout.candidate, reason, now, after.epoch, rollout.findings))
    evidence = _evidence(rollout, verdict)
    return Decision("promoted", after, reason, rollout.who, state.stable, rollout.candidate, evidence)


def rolled_back(at: Situation, verdict: Verdict, counts: Mapping[str, Any]) -> Decision:
    """The candidate harms: out of traffic, and the alias back to the stable version."""
    state, rollout, now = at.state, at.rollout, at.now
    after = routed(at, replace(state, rollout=None), verdict.reason, CONTROLLER)
    last = Last(
        "rolled_back", rollout.candidate, verdict.reason, now, after.epoch, rollout.findings, state.stable, is_open=True
    )
    gated = tuple(version for version in after.gated if version != rollout.candidate)
    after = replace(after, last=last, gated=gated)
    evidence = _evidence(rollout, verdict) | {"counts": dict(counts)}
    return Decision("rolled_back", after, verdict.reason, CONTROLLER, rollout.candidate, state.stable, evidence, retreat=True)


def refused(at: Situation, rollout: Rollout, reason: str) -> Decision:
    """A gate failed: the version has had no traffic and gets none."""
    intent, state, now = at.intent, at.state, at.now
    del intent
    last = Last("refused", rollout.candidate, reason, now, state.epoch, rollout.findings, state.stable, is_open=True)
    after = replace(state, rollout=None, last=last)
    return Decision(
        "refused", after, reason, CONTROLLER, rollout.candidate, state.stable, _evidence(rollout, None), retreat=True
    )


def aborted(at: Situation, why: str) -> Decision:
    """A person ended it."""
    intent, state, rollout, now = at.intent, at.state, at.rollout, at.now
    reason = f"Ended before a verdict: {why}."
    who = intent.author()
    outcome: OutcomeKind = "aborted"
    after = routed(at, replace(state, rollout=None), reason, who)
    after = replace(after, last=Last(outcome, rollout.candidate, reason, now, after.epoch, rollout.findings))
    return Decision("aborted", after, reason, who, rollout.candidate, state.stable, _evidence(rollout, None), retreat=True)


def _evidence(rollout: Rollout, verdict: Verdict | None) -> dict[str, Any]:
    evidence: dict[str, Any] = {"strategy": rollout.text, "attempt": rollout.attempt}
    if rollout.findings:
        evidence["gates"] = [[one.gate, one.outcome, one.reason] for one in rollout.findings]
    if verdict is not None:
        evidence["verdict"] = {"kind": verdict.kind, "numbers": dict(verdict.numbers)}
    return evidence
