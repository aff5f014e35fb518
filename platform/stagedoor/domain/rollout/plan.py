"""`plan`: what to decide and what to do next for one model. Pure: the same arguments give the same plan."""

from dataclasses import dataclass, replace
from typing import Final

from stagedoor import names
from stagedoor.domain.judge import Verdict
from stagedoor.domain.rollout import settled, trials
from stagedoor.domain.rollout.findings import Findings
from stagedoor.domain.rollout.intent import Intent
from stagedoor.domain.rollout.outlook import Outlook
from stagedoor.domain.rollout.situation import Situation
from stagedoor.domain.rollout.state import State
from stagedoor.domain.rollout.steps import Decision, MoveAlias, MoveStage, SetRoute, Step, TagModel, TagVersion

VERDICT_LENGTH: Final = 480


@dataclass(frozen=True, slots=True)
class Plan:
    """At most one decision, and what is to be done in the world once it is written down, in this order.

    `waiting_for` says to people why nothing happens; `verdict` is the judge's last word on a rollout under way.
    """

    decision: Decision | None
    steps: tuple[Step, ...]
    waiting_for: str | None = None
    verdict: Verdict | None = None
    problems: tuple[str, ...] = ()


def plan(intent: Intent, state: State, findings: Findings, now: float, window: float) -> Plan:
    """Decide for one model. `now` is in seconds since 1970, `window` in seconds (STAGEDOOR_ROLLBACK_WINDOW_SECONDS)."""
    outlook = _decide(Situation(intent, state, findings, now, window))
    decision = outlook.decision
    if decision is None:
        steps = (*outlook.checks, *effects(intent, state))
    else:
        decision = replace(decision, state=replace(decision.state, serial=state.serial + 1))
        steps = effects(intent, decision.state)
    return Plan(decision, steps, outlook.waiting_for, outlook.verdict, intent.problems + outlook.problems)


def _decide(at: Situation) -> Outlook:
    adopted = settled.adopt(at)
    if adopted is not None:
        return Outlook(adopted)
    return settled.begin(at) if at.state.rollout is None else trials.go_on(at)


def effects(intent: Intent, state: State) -> tuple[Step, ...]:
    """What differs between the world and `state`: the stable version first, then the alias, then the tags."""
    return (*_route_effects(intent, state), *_restore(intent, state), *_tags(state), *_cleared(intent, state))


def _route_effects(intent: Intent, state: State) -> tuple[Step, ...]:
    if state.route is None:
        return (SetRoute(None),) if intent.route_text is not None and state.epoch else ()
    if intent.route is not None and (intent.route == state.route or intent.route.epoch > state.route.epoch):
        return ()
    return (SetRoute(state.route),)


def _restore(intent: Intent, state: State) -> tuple[Step, ...]:
    """Put aliases back that still name a version that was turned away: whatever a person did since, stands."""
    last = state.last
    found: list[Step] = []
    if last is not None and last.is_open and last.restore is not None and intent.wanted == last.version:
        back = MoveAlias(names.CHAMPION, last.restore, last.version)
        found.append(MoveStage(last.version, "Archived") if intent.by_stage else back)
    before = dict(state.route.aliases) if state.route else {}
    for alias in intent.governed:
        version = intent.aliases.get(alias)
        driven = alias != names.CHAMPION or intent.policy is not None
        if driven and version in state.refused and before.get(alias, version) != version:
            found.append(MoveAlias(alias, before[alias], str(version)))
    return tuple(found)


def _tags(state: State) -> tuple[Step, ...]:
    found: list[Step] = []
    last = state.last
    findings = state.rollout.findings if state.rollout else last.findings if last else ()
    version = state.rollout.candidate if state.rollout else last.version if last else ""
    for one in findings:
        text = f"{one.outcome}: {one.reason}"[:VERDICT_LENGTH]
        found.append(TagVersion(version, f"{names.TAG_GATE_PREFIX}{one.gate}", text))
        digest = one.evidence.get("record_sha256")
        if one.outcome == "pass" and isinstance(digest, str):
            found.append(TagVersion(version, names.TAG_SHA256, digest))
    if last is not None and last.outcome != "drilled":
        text = f"{last.outcome.replace('_', ' ')}: {last.reason}"[:VERDICT_LENGTH]
        found.append(TagVersion(last.version, names.TAG_VERDICT, text))
    return tuple(found)


def _cleared(intent: Intent, state: State) -> tuple[Step, ...]:
    """Control tags that have done their work."""
    found: list[Step] = []
    done = state.rollout is None or state.rollout.candidate != intent.finish
    if intent.finish is not None and done and intent.wanted == state.stable:
        found.append(TagModel(names.TAG_CONTROL, None))
    if intent.withdraw and state.stable is None:
        found.append(TagModel(names.TAG_CONTROL, None))
    if intent.has_drill_tag and (intent.drill is None or intent.drill.cohort == state.drilled):
        found.append(TagModel(names.TAG_DRILL, None))
    return tuple(found)
