"""Decisions while a version is on trial: gates first, then traffic by its strategy, until a verdict or a person ends it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from stagedoor.domain.judge import BaseRates
from stagedoor.domain.rollout import canary, switch
from stagedoor.domain.rollout.endings import aborted, promoted, refused
from stagedoor.domain.rollout.findings import reasons, worst
from stagedoor.domain.rollout.outlook import Outlook
from stagedoor.domain.rollout.routes import routed
from stagedoor.domain.rollout.situation import Situation
from stagedoor.domain.rollout.state import Phase, Rollout
from stagedoor.domain.rollout.steps import CheckGates, Decision
from stagedoor.domain.traffic import WHOLE

PRIOR: Final = 0.01
"""Assumed rate of failures and of slow answers where nothing is known. It costs power only, never the error bound."""

_PHASES: Final[dict[str, Phase]] = {"canary": "canary", "shadow": "shadow", "rolling": "rolling", "blue-green": "baking"}


def go_on(at: Situation) -> Outlook:
    """Decide for a model whose rollout is under way."""
    rollout = at.rollout
    if rollout.phase == "drill":
        return canary.drilled(at)
    changed = _changed(at)
    if changed is not None:
        return Outlook(changed)
    if at.intent.finish == rollout.candidate and rollout.phase != "gating":
        reason = f"{at.intent.author()} ended the trial in favour of version {rollout.candidate}."
        return Outlook(promoted(at, rollout, reason))
    return TRIALS[rollout.phase](at)


def _changed(at: Situation) -> Decision | None:
    """A person changed their mind. That wins at once, and needs no evidence."""
    intent, state, rollout = at.intent, at.state, at.rollout
    if intent.policy is not None:
        return aborted(at, "the traffic tag was set: people drive from here")
    if intent.wanted == rollout.candidate:
        return None
    if intent.wanted is None:
        return aborted(at, "no version is asked for any more")
    what = "back to" if intent.wanted == state.stable else "on to"
    return aborted(at, f"{intent.author()} moved {what} version {intent.wanted}")


def _gating(at: Situation) -> Outlook:
    intent, state, rollout, findings = at.intent, at.state, at.rollout, at.findings
    candidate = rollout.candidate
    check = CheckGates(candidate, state.stable, rollout.who)
    found = findings.gates.get((candidate, state.stable))
    if found is None:
        return Outlook(waiting_for=f"the gates of version {candidate}", checks=(check,))
    outcome = worst(found)
    if outcome == "fail":
        return Outlook(refused(at, replace(rollout, findings=found), reasons(found, outcome)))
    if outcome != "pass":
        # Asked again: the controller has its own pauses between two looks of the gates.
        return Outlook(waiting_for=f"the gates of version {candidate}: {reasons(found, outcome)}", checks=(check,))
    if intent.paused:
        return Outlook(waiting_for=f"resume: version {candidate} has passed its gates")
    return Outlook(_with_traffic(replace(at, state=at.state.with_gated(candidate)), replace(rollout, findings=found)))


def _with_traffic(at: Situation, rollout: Rollout) -> Decision:
    state, findings, now = at.state, at.findings, at.now
    strategy = rollout.strategy
    passed = "all gates passed"
    if state.stable is None:
        return promoted(at, rollout, f"{passed}, and nothing was live before")
    if strategy.kind == "immediate" or (strategy.kind == "canary" and strategy.steps[0] == WHOLE):
        return promoted(at, rollout, f"{passed}; the strategy is immediate")
    slow = strategy.rules.max_latency if strategy.rules.max_latency is not None else findings.stable_p99
    base = BaseRates(PRIOR, PRIOR if slow is not None else None)
    begun = replace(rollout, phase=_PHASES[strategy.kind], step=0, step_at=now, slow_seconds=slow, base=base)
    if strategy.kind == "rolling":
        first = sorted(node.name for node in findings.nodes if node.ready)[:1]
        begun = replace(begun, nodes=tuple(first))
    reason = f"{passed}; {_beginning(begun)}"
    after = routed(at, replace(state, rollout=begun), reason, rollout.who)
    evidence = {"gates": [[one.gate, one.outcome, one.reason] for one in rollout.findings], "slow_seconds": slow}
    return Decision("traffic_started", after, reason, rollout.who, state.stable, rollout.candidate, evidence)


def _beginning(rollout: Rollout) -> str:
    if rollout.phase == "canary":
        return f"version {rollout.candidate} gets {rollout.share / 100:g} % of the requests"
    if rollout.phase == "shadow":
        return f"version {rollout.candidate} gets a copy of each request"
    if rollout.phase == "rolling":
        return f"version {rollout.candidate} takes over on {', '.join(rollout.nodes) or 'no machine yet'}"
    return f"version {rollout.candidate} gets all requests, and the one before stays warm"


TRIALS: Final[Mapping[Phase, Callable[[Situation], Outlook]]] = MappingProxyType(
    {
        "gating": _gating,
        "canary": canary.on_trial,
        "shadow": canary.in_shadow,
        "rolling": switch.switched,
        "baking": switch.switched,
    }
)
"""How each phase is decided."""
