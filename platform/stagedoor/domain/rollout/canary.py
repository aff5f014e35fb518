"""Canary, shadow and drill: a version proves itself on a known share of the requests, or on copies of them."""

from dataclasses import asdict, replace
from typing import Any

from stagedoor import names
from stagedoor.domain.evidence import Evidence
from stagedoor.domain.judge import BaseRates, Verdict, carry, judge, judge_shadow
from stagedoor.domain.rollout.endings import promoted, rolled_back
from stagedoor.domain.rollout.outlook import Outlook
from stagedoor.domain.rollout.routes import DRILL_SHARE, routed
from stagedoor.domain.rollout.situation import Situation
from stagedoor.domain.rollout.state import Last, Rollout
from stagedoor.domain.rollout.steps import Decision
from stagedoor.domain.traffic import WHOLE

UNSEEN = "evidence: not all gateways (or no Prometheus) tell how the versions do"


def on_trial(at: Situation) -> Outlook:
    """A canary: roll back, take the next step, promote, or hold."""
    rollout, strategy = at.rollout, at.rollout.strategy
    evidence = at.findings.of(at.state.epoch)
    if evidence is None:
        return Outlook(waiting_for=UNSEEN)
    verdict = judge(evidence, rollout.carried, strategy.rules, rollout.share / WHOLE, rollout.base)
    if verdict.kind == "roll_back":
        return Outlook(rolled_back(at, verdict, _counts(evidence)), verdict=verdict)
    waiting = _held(at, verdict) or _step_waits(rollout, evidence, verdict, at.now)
    if waiting is not None:
        return Outlook(waiting_for=waiting, verdict=verdict)
    if _is_last(rollout):
        return Outlook(promoted(at, rollout, verdict.reason, verdict), verdict=verdict)
    return Outlook(_advanced(at, evidence, verdict), verdict=verdict)


def _held(at: Situation, verdict: Verdict) -> str | None:
    """What keeps a version on trial from going on, whatever its step."""
    if not at.findings.complete:
        return UNSEEN
    if at.intent.paused:
        return "resume; the judge goes on watching meanwhile"
    if verdict.kind == "freeze":
        return f"somebody to look: {verdict.reason}"
    if at.now - at.rollout.started_at > at.rollout.strategy.deadline and verdict.kind != "promote":
        return "a person: the deadline has passed without a verdict"
    return None


def _is_last(rollout: Rollout) -> bool:
    """Whether all traffic comes next."""
    return rollout.strategy.steps[rollout.step + 1] == WHOLE


def _step_waits(rollout: Rollout, evidence: Evidence, verdict: Verdict, now: float) -> str | None:
    """What this step still needs before the next one. The last needs the judge's proof, the others a few outcomes."""
    strategy = rollout.strategy
    left = rollout.step_at + strategy.interval - now
    missing = strategy.outcomes - evidence.of(names.ARM_CANDIDATE).outcomes
    if verdict.kind != "promote" and (_is_last(rollout) or _is_suspected(rollout, verdict)):
        return f"proof: {verdict.reason}"
    if verdict.kind != "promote" and missing > 0:
        return f"{missing} more outcome{'s' * (missing > 1)} of version {rollout.candidate} in this step"
    return f"the rest of this step's interval: {left:.0f} s" if left > 0 else None


def _is_suspected(rollout: Rollout, verdict: Verdict) -> bool:
    """Whether only the least evidence is missing for a rollback: such a version gets no larger share meanwhile."""
    return verdict.numbers.get("e_rollback", 0.0) >= 1 / rollout.strategy.rules.alpha


def _advanced(at: Situation, evidence: Evidence, verdict: Verdict) -> Decision:
    state, rollout, now = at.state, at.rollout, at.now
    strategy = rollout.strategy
    stable = evidence.of(names.CHAMPION)
    outcomes, failures, slow = rollout.seen
    seen = (outcomes + stable.outcomes, failures + stable.failed, slow + stable.slow)
    carried = carry(evidence, rollout.carried, strategy.rules, rollout.share / WHOLE, rollout.base)
    base = BaseRates(_rate(seen[1], seen[0]), _rate(seen[2], seen[0]) if rollout.base.slow is not None else None)
    onward = replace(rollout, step=rollout.step + 1, step_at=now, carried=carried, seen=seen, base=base)
    reason = f"version {rollout.candidate} goes on to {onward.share / 100:g} % of the requests: {verdict.reason}"
    after = routed(at, replace(state, rollout=onward), reason, rollout.who)
    counted = {"counts": _counts(evidence), "verdict": {"kind": verdict.kind, "numbers": dict(verdict.numbers)}}
    return Decision("advanced", after, reason, rollout.who, state.stable, rollout.candidate, counted)


def in_shadow(at: Situation) -> Outlook:
    """A shadow: its answers are compared with those that were sent."""
    rollout = at.rollout
    evidence = at.findings.of(at.state.epoch)
    if evidence is None:
        return Outlook(waiting_for=UNSEEN)
    verdict = judge_shadow(evidence.shadow, rollout.carried, rollout.strategy.rules, rollout.base)
    if verdict.kind == "roll_back":
        return Outlook(rolled_back(at, verdict, asdict(evidence.shadow)), verdict=verdict)
    left = rollout.step_at + rollout.strategy.interval - at.now
    waiting = _held(at, verdict)
    if waiting is None and verdict.kind != "promote":
        waiting = f"proof: {verdict.reason}"
    if waiting is None and left > 0:
        waiting = f"the rest of the interval: {left:.0f} s"
    if waiting is not None:
        return Outlook(waiting_for=waiting, verdict=verdict)
    return Outlook(promoted(at, rollout, verdict.reason, verdict), verdict=verdict)


def drilled(at: Situation) -> Outlook:
    """A drill: over when the judge has found the fault, when its time is up, or when somebody ends it."""
    intent, state, rollout, findings, now = at.intent, at.state, at.rollout, at.findings, at.now
    drill = rollout.drill
    evidence = findings.of(state.epoch)
    verdict = None
    if evidence is not None:
        verdict = judge(evidence, rollout.carried, rollout.strategy.rules, DRILL_SHARE / WHOLE, rollout.base)
    found = verdict is not None and verdict.kind == "roll_back"
    over = drill is None or now >= drill.until or intent.drill is None or intent.drill.cohort != drill.cohort
    over = over or intent.wanted != state.stable or intent.policy is not None
    if not found and not over:
        return Outlook(waiting_for="the judge to find the fault", verdict=verdict)
    seconds = now - rollout.started_at
    reason = f"The drill's fault was {'found and its arm closed' if found else 'not found'} after {seconds:.1f} s."
    if verdict is not None:
        reason += f" {verdict.reason}"
    ending = replace(state, rollout=None, drilled=drill.cohort if drill else "")
    after = routed(at, ending, reason, rollout.who)
    if found:
        after = replace(after, last=Last("drilled", rollout.candidate, reason, now, after.epoch))
    counts: dict[str, Any] = {"seconds": seconds, "found": found, "counts": _counts(evidence) if evidence else {}}
    decision = Decision("drill_ended", after, reason, rollout.who, state.stable, state.stable, counts, retreat=True)
    return Outlook(decision, verdict=verdict)


def _counts(evidence: Evidence) -> dict[str, Any]:
    return {arm: asdict(counts) for arm, counts in evidence.arms.items()}


def _rate(some: int, all_of_them: int) -> float:
    """A share that is never 0 or 1, however little was seen."""
    return (some + 1) / (all_of_them + 100)
