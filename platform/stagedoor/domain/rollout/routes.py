"""The route that a state of affairs asks for."""

from dataclasses import replace

from stagedoor import names
from stagedoor.domain.rollout.intent import Intent
from stagedoor.domain.rollout.situation import Situation
from stagedoor.domain.rollout.state import Life, Rollout, State
from stagedoor.domain.traffic import WHOLE, Arm, Rolling, Route, salt_for

DRILL_SHARE = 5000
"""The drilled arm's share of its cohort, in basis points: half, which tells the arms apart soonest."""


def routed(at: Situation, state: State, reason: str, who: str) -> State:
    """`state` with the route it asks for. A new epoch begins only where the route means something else than before."""
    lived = tuple(life for life in state.lived if life.until + at.window > at.now)
    state = replace(state, lived=lived)
    wish = wished(at.intent, state)
    if wish is None or _same(wish, state.route):
        return replace(state, route=state.route if wish is not None else None)
    epoch = state.epoch + 1
    return replace(state, epoch=epoch, route=replace(wish, epoch=epoch, reason=reason, by=who))


def wished(intent: Intent, state: State) -> Route | None:
    """The route as it should be, but for epoch, reason and author. None where nothing is live."""
    if state.stable is None:
        return None
    arms, aliases = _arms(intent, state, state.stable)
    warm = tuple(dict.fromkeys(life.version for life in state.lived if life.version != state.stable))
    rollout = state.rollout
    base = Route(
        epoch=state.epoch,
        arms=arms,
        salt=salt_for(state.model, tuple(arm.version for arm in arms[1:])),
        issued=True,
        aliases=aliases,
        warm=warm,
        shield=intent.shield and len(arms) > 1,
        mirror=intent.mirror if intent.mirror in state.gated and intent.mirror != state.stable else None,
        watched=len(arms) > 1,
        sticky=intent.sticky if len(arms) > 1 else None,
    )
    return base if rollout is None or rollout.phase == "gating" else _under_way(base, rollout, intent, state)


def _under_way(base: Route, rollout: Rollout, intent: Intent, state: State) -> Route:
    """The route of a rollout that has traffic. Its split draws per request, never per user: see the judge."""
    salt = salt_for(state.model, (rollout.candidate, rollout.attempt))
    watched = replace(base, salt=salt, sticky=None, watched=True, slow_seconds=rollout.slow_seconds, shield=intent.shield)
    stable = str(state.stable)
    if rollout.phase in {"canary", "drill"}:
        share = DRILL_SHARE if rollout.phase == "drill" else rollout.share
        arms = (Arm(names.CHAMPION, stable, WHOLE - share), Arm(names.ARM_CANDIDATE, rollout.candidate, share))
        return replace(watched, arms=arms, drill=rollout.drill)
    if rollout.phase == "shadow":
        return replace(watched, mirror=rollout.candidate)
    if rollout.phase == "rolling":
        return replace(watched, rolling=Rolling(rollout.candidate, rollout.nodes))
    # Baking: it has all traffic already; the one before is kept warm.
    whole = (Arm(names.ARM_CANDIDATE, rollout.candidate, WHOLE),)
    aliases = tuple(sorted({**dict(base.aliases), names.CHAMPION: rollout.candidate}.items()))
    return replace(watched, arms=whole, aliases=aliases, warm=tuple(dict.fromkeys((stable, *base.warm))), shield=False)


def _arms(intent: Intent, state: State, stable: str) -> tuple[tuple[Arm, ...], tuple[tuple[str, str], ...]]:
    """The arms in steady state, and what the governed aliases mean."""
    before = dict(state.route.aliases) if state.route else {}
    aliases = {names.CHAMPION: stable}
    for alias in intent.governed:
        version = intent.aliases.get(alias)
        if alias == names.CHAMPION or version is None:
            continue
        allowed = version if version in state.gated else before.get(alias)
        if allowed is not None and allowed in state.gated:
            aliases[alias] = allowed
    if intent.policy is None:
        return (Arm(names.CHAMPION, stable, WHOLE),), tuple(sorted(aliases.items()))
    candidates = [
        Arm(alias, aliases[alias], weight)
        for alias, weight in intent.policy.weights
        if alias != names.CHAMPION and alias in aliases and weight
    ]
    rest = WHOLE - sum(arm.weight for arm in candidates)
    return (Arm(names.CHAMPION, stable, rest), *candidates), tuple(sorted(aliases.items()))


def _same(wish: Route, now: Route | None) -> bool:
    """Whether both serve alike, whoever asked for it and however often it was written."""
    return now is not None and replace(wish, epoch=now.epoch, reason=now.reason, by=now.by) == now


def ended(state: State, version: str | None, now: float) -> tuple[Life, ...]:
    """The lives remembered after `version` has stopped being live."""
    if version is None:
        return state.lived
    others = tuple(life for life in state.lived if life.version != version)
    return (*others, Life(version, now))[-5:]
