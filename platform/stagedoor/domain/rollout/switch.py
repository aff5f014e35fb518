"""Blue-green and rolling: a version takes over whole, everywhere at once or machine by machine, watched by thresholds."""

from dataclasses import asdict, replace

from stagedoor import names
from stagedoor.domain.judge import Verdict, judge_switched
from stagedoor.domain.rollout.canary import UNSEEN
from stagedoor.domain.rollout.endings import promoted, rolled_back
from stagedoor.domain.rollout.outlook import Outlook
from stagedoor.domain.rollout.routes import routed
from stagedoor.domain.rollout.situation import Situation
from stagedoor.domain.rollout.steps import Decision


def switched(at: Situation) -> Outlook:
    """Roll back on harm; otherwise take the next machine, or promote once it has baked."""
    rollout, strategy = at.rollout, at.rollout.strategy
    evidence = at.findings.of(at.state.epoch)
    if evidence is None:
        return Outlook(waiting_for=UNSEEN)
    counts = evidence.of(names.ARM_CANDIDATE)
    verdict = judge_switched(counts, strategy.rules, elapsed=at.now - rollout.step_at, bake=strategy.bake)
    if verdict.kind == "roll_back":
        return Outlook(rolled_back(at, verdict, asdict(counts)), verdict=verdict)
    waiting = _held(at)
    if waiting is None and rollout.phase == "rolling":
        return _rolling(at, verdict)
    if waiting is None and verdict.kind == "promote":
        return Outlook(promoted(at, rollout, verdict.reason, verdict), verdict=verdict)
    return Outlook(waiting_for=waiting or f"the end of its watch: {verdict.reason}", verdict=verdict)


def _held(at: Situation) -> str | None:
    if at.intent.paused:
        return "resume; the judge goes on watching meanwhile"
    return None if at.findings.complete else UNSEEN


def _rolling(at: Situation, verdict: Verdict) -> Outlook:
    state, rollout, findings, now = at.state, at.rollout, at.findings, at.now
    well = {node.name for node in findings.nodes if node.ready and node.epoch >= state.epoch}
    waits = ", ".join(name for name in rollout.nodes if name not in well)
    if waits:
        return Outlook(waiting_for=f"{waits} to serve version {rollout.candidate} in health", verdict=verdict)
    if now - rollout.step_at < rollout.strategy.interval:
        left = rollout.step_at + rollout.strategy.interval - now
        return Outlook(waiting_for=f"the rest of this machine's interval: {left:.0f} s", verdict=verdict)
    rest = sorted(node.name for node in findings.nodes if node.name not in rollout.nodes)
    if rest:
        onward = replace(rollout, nodes=(*rollout.nodes, rest[0]), step_at=now)
        reason = f"version {rollout.candidate} takes over on {rest[0]}"
        after = routed(at, replace(state, rollout=onward), reason, rollout.who)
        return Outlook(Decision("advanced", after, reason, rollout.who, state.stable, rollout.candidate), verdict=verdict)
    if not rollout.nodes:
        return Outlook(waiting_for="a gateway that answers", verdict=verdict)
    baking = replace(rollout, phase="baking", step_at=now)
    reason = f"version {rollout.candidate} serves on every machine and is watched for {rollout.strategy.bake:g} s more"
    after = routed(at, replace(state, rollout=baking), reason, rollout.who)
    return Outlook(Decision("advanced", after, reason, rollout.who, state.stable, rollout.candidate), verdict=verdict)
