"""Decisions while no rollout is under way: begin one, return at once, split by hand, or leave things as they are."""

from dataclasses import replace
from typing import Final

from stagedoor import names
from stagedoor.domain.judge import BaseRates
from stagedoor.domain.rollout.findings import reasons, worst
from stagedoor.domain.rollout.intent import UNKNOWN_AUTHOR
from stagedoor.domain.rollout.outlook import Outlook
from stagedoor.domain.rollout.routes import ended, routed
from stagedoor.domain.rollout.situation import Situation
from stagedoor.domain.rollout.state import KEPT, Last, Rollout
from stagedoor.domain.rollout.steps import CheckGates, Decision

DRILL_BASE: Final = BaseRates(0.01, 0.01)
DRILL_SLOW_SECONDS: Final = 0.25
"""What a drill calls slow where too few requests came to know the live version's 99th percentile."""


def adopt(at: Situation) -> Decision | None:
    """Take over a route that is newer than what is remembered: written just before a crash, or while the ledger was dead."""
    intent, state, now = at.intent, at.state, at.now
    route = intent.route
    if route is None or route.epoch <= state.epoch:
        return None
    stable = dict(route.aliases).get(names.CHAMPION, route.stable.version)
    rollout = state.rollout
    last = state.last
    if rollout is not None and rollout.phase != "drill" and stable != rollout.candidate:
        last = Last("rolled_back", rollout.candidate, route.reason, now, route.epoch, rollout.findings, stable, is_open=True)
    known = replace(
        state.with_gated(stable),
        epoch=route.epoch,
        stable=stable,
        route=route,
        rollout=None,
        last=last,
        lived=ended(state, state.stable if state.stable != stable else None, now),
    )
    reason = f"Found in the registry: {route.reason or 'a route of which the ledger knows nothing'}"
    # A version on trial of which nothing is remembered goes out of traffic; its alias begins a new trial.
    return Decision("adopted", routed(at, known, reason, route.by), reason, route.by, state.stable, stable)


def begin(at: Situation) -> Outlook:
    """Decide for a model without a rollout."""
    intent, state = at.intent, at.state
    done = _settle(at)
    if done is not None:
        return Outlook(done)
    if intent.withdraw and intent.wanted is None and state.stable is not None:
        return Outlook(_withdraw(at))
    if intent.problems:
        return Outlook(waiting_for="the tags to be mended; until then everything stays as it is")
    if intent.wanted is None:
        return _without_champion(at)
    if intent.policy is not None or intent.wanted == state.stable:
        return _steady(at)
    return _new_version(at, intent.wanted)


def _settle(at: Situation) -> Decision | None:
    """Note that no alias names a version that was turned away: from now on, naming it again is a new wish."""
    intent, state = at.intent, at.state
    last = state.last
    if last is not None and last.is_open and intent.wanted != last.version:
        after = replace(state, last=replace(last, restore=None, is_open=False))
        reason = f"The alias names version {intent.wanted} again." if intent.wanted else "No version has the alias any more."
        return Decision("alias_restored", after, reason, intent.author(), last.version, intent.wanted, retreat=True)
    named = {*intent.aliases.values(), intent.mirror, intent.wanted}
    refused = tuple(version for version in state.refused if version in named)
    if refused != state.refused:
        gone = ", ".join(version for version in state.refused if version not in named)
        reason = f"No alias names version {gone} any more."
        return Decision("alias_restored", replace(state, refused=refused), reason, intent.author(), gone, None, retreat=True)
    return None


def _withdraw(at: Situation) -> Decision:
    intent, state, now = at.intent, at.state, at.now
    lived = ended(state, state.stable, now)
    after = replace(state, stable=None, route=None, epoch=state.epoch + 1, lived=lived, last=None)
    return Decision("withdrawn", after, "Taken out of service by request.", intent.author(), state.stable, None)


def _without_champion(at: Situation) -> Outlook:
    intent, state = at.intent, at.state
    if state.stable is None:
        return Outlook(waiting_for=f"a version with the alias {names.CHAMPION}" if intent.aliases else None)
    problem = (
        f"No version has the alias {names.CHAMPION}; version {state.stable} keeps serving. Give the alias to a version, or set "
        f"the tag {names.TAG_CONTROL} to withdraw to take the model out of service."
    )
    return Outlook(problems=(problem,))


def _new_version(at: Situation, wanted: str) -> Outlook:
    intent, state, now = at.intent, at.state, at.now
    last = state.last
    if last is not None and last.is_open:
        back = f"the alias to be put back to version {last.restore}"
        return Outlook(waiting_for=back if last.restore else f"another version: {wanted} was refused")
    who = intent.author()
    if wanted in state.gated and any(life.version == wanted and life.until + at.window > now for life in state.lived):
        return Outlook(_return(at, wanted))
    attempt = f"{wanted}.{state.epoch + 1}.{round(now)}"
    rollout = Rollout(wanted, attempt, intent.strategy, who, now, step_at=now)
    reason = f"{who} asks for version {wanted}."
    return Outlook(Decision("started", replace(state, rollout=rollout), reason, who, state.stable, wanted))


def _return(at: Situation, wanted: str) -> Decision:
    intent, state, now = at.intent, at.state, at.now
    who = intent.author()
    reason = f"Version {wanted} was live within the rollback window: it returns at once."
    last = Last("returned", wanted, reason, now, state.epoch + 1)
    lived = ended(state, state.stable, now)
    after = replace(state, stable=wanted, lived=lived, last=last)
    return Decision("returned", routed(at, after, reason, who), reason, who, state.stable, wanted)


def _steady(at: Situation) -> Outlook:
    """Nobody is on trial. Gate what the split or a shadow names, then see that the route says what people want."""
    intent, state, now = at.intent, at.state, at.now
    gating = _gate_named(at)
    if gating is not None and gating.decision is not None:
        return gating
    stable = intent.wanted if intent.policy is not None and intent.wanted in state.gated else state.stable
    drill = _drill(at)
    if drill is not None:
        return Outlook(drill)
    lived = ended(state, state.stable, now) if stable != state.stable else state.lived
    who = intent.author()
    after = routed(at, replace(state, stable=stable, lived=lived), "follows the tags", who)
    if after.epoch != state.epoch:
        kind = "live" if stable != state.stable else "rerouted"
        return Outlook(Decision(kind, after, "The route follows the aliases and tags.", who, state.stable, stable))
    return gating or Outlook()


def _named(at: Situation) -> list[tuple[str, str]]:
    """Aliases and versions that would get requests, and have not passed the gates yet."""
    intent, state = at.intent, at.state
    named = [(alias, intent.aliases[alias]) for alias in intent.governed if alias in intent.aliases]
    if intent.policy is not None and intent.wanted is not None and names.CHAMPION not in intent.aliases:
        named.append((names.PRODUCTION, intent.wanted))
    if intent.mirror is not None:
        named.append((names.TAG_SHADOW, intent.mirror))
    unready = [(alias, version) for alias, version in named if version not in state.gated and version not in state.refused]
    return [(alias, version) for alias, version in unready if version != state.stable]


def _gate_named(at: Situation) -> Outlook | None:
    intent, state, findings, now = at.intent, at.state, at.findings, at.now
    for alias, version in _named(at):
        who = intent.who.get(alias, UNKNOWN_AUTHOR)
        found = findings.gates.get((version, state.stable))
        if found is None:
            return Outlook(waiting_for=f"the gates of version {version}", checks=(CheckGates(version, state.stable, who),))
        outcome = worst(found)
        if outcome == "pass":
            evidence = {"gates": [[one.gate, one.outcome, one.reason] for one in found]}
            after = state.with_gated(version)
            reason = f"Version {version} ({alias}) passed the gates."
            return Outlook(Decision("gated", after, reason, who, None, version, evidence))
        why = reasons(found, outcome)
        if outcome == "fail":
            last = Last("refused", version, f"{alias}: {why}", now, state.epoch, found)
            after = replace(state, refused=(*state.refused, version)[-KEPT:], last=last)
            evidence = {"gates": [[one.gate, one.outcome, one.reason] for one in found]}
            return Outlook(Decision("refused", after, f"Version {version} ({alias}): {why}", who, None, version, evidence))
        check = (CheckGates(version, state.stable, who),)
        return Outlook(waiting_for=f"the gates of version {version}: {why}", checks=check)
    return None


def _drill(at: Situation) -> Decision | None:
    intent, state, now = at.intent, at.state, at.now
    drill = intent.drill
    if drill is None or drill.cohort == state.drilled or state.stable is None or intent.policy is not None:
        return None
    if drill.until <= now:
        return Decision("drill_ended", replace(state, drilled=drill.cohort), "It was over before it began.", intent.drill_by)
    slow = at.findings.stable_p99 if at.findings.stable_p99 is not None else DRILL_SLOW_SECONDS
    text = "canary steps=50 outcomes=0 interval=0s"
    rollout = Rollout(
        candidate=state.stable,
        attempt=f"drill.{drill.cohort}",
        text=text,
        who=intent.drill_by,
        started_at=now,
        phase="drill",
        step_at=now,
        base=DRILL_BASE,
        slow_seconds=slow,
        drill=drill,
    )
    reason = f"Drill: a share {drill.rate:g} of the cohort's requests to the candidate suffers the fault {drill.fault}."
    after = replace(state, rollout=rollout)
    return Decision("drill", routed(at, after, reason, intent.drill_by), reason, intent.drill_by, state.stable, state.stable)
