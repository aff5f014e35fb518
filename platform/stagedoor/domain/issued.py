"""Following a controller: from the route it issued to the one that is in force on a machine. Pure.

The tag `stagedoor.route` says what to serve. It comes into force here once every arm's version is ready; until then, and
whatever becomes of the tag, the last one stays, so that what is counted in an epoch was routed by that epoch's split.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from stagedoor import names
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.readiness import Versions, effective, is_ready, lagging, state_of
from stagedoor.domain.route_tag import read_route
from stagedoor.domain.snapshot import ModelEntry
from stagedoor.domain.traffic import WHOLE, Arm, Route, TrafficPolicy
from stagedoor.errors import InvalidTag


@dataclass(frozen=True, slots=True)
class Issued:
    """The `route` that a controller issued last, as far as is known here, and the `text` it was read from.

    `problem` is a complaint about what the tag says now; `asked` whether anybody asks for the model to be live.
    """

    text: str | None
    route: Route | None
    problem: str | None
    asked: bool


@dataclass(frozen=True, slots=True)
class Force:
    """What is in force on this machine: the route, and what the aliases that go with it mean."""

    route: Route | None
    aliases: Mapping[str, str]
    problems: tuple[str, ...]


def read_issued(model: RegisteredModel, before: ModelEntry) -> Issued:
    """Read the tag.

    One that is malformed, gone, or of a lower epoch than one already known is a problem and changes nothing. Only where
    nobody asks for the model any more (no champion, nothing in Production) does a missing tag mean that it was withdrawn.
    """
    asked = names.CHAMPION in model.aliases or names.PRODUCTION in model.stages
    text = model.tags.get(names.TAG_ROUTE)
    last = read_route(before.issued) if before.issued is not None else None
    if text is None:
        if last is None or not asked:
            return Issued(None, None, None, asked)
        problem = f"Tag {names.TAG_ROUTE} is gone; epoch {last.epoch} stays until the controller writes it again"
        return Issued(before.issued, last, problem, asked)
    try:
        route = read_route(text)
    except InvalidTag as error:
        return Issued(before.issued, last, str(error), asked)
    if last is not None and route.epoch < last.epoch:
        problem = f"Tag {names.TAG_ROUTE} names epoch {route.epoch}, older than {last.epoch}; no epoch goes back"
        return Issued(before.issued, last, problem, asked)
    return Issued(text, route, None, asked)


def governed_aliases(policy: TrafficPolicy | None, *routes: Route | None) -> frozenset[str]:
    """The aliases for which a controller answers: an ungated version is never reached by one of them."""
    split = {alias for alias, _ in policy.weights} if policy else set()
    routed = {alias for route in routes if route is not None for alias, _ in route.aliases}
    return frozenset({names.CHAMPION, names.CHALLENGER, *split, *routed})


def bring_into_force(issued: Issued, before: ModelEntry, versions: Versions, node: str) -> Force:
    """What this machine (`node`) serves of what was issued."""
    old = before.route if before.route is None or before.route.issued else replace(before.route, epoch=0)
    problems = [issued.problem] if issued.problem else []
    if issued.route is None:
        # What the aliases led to before there was a controller goes on, until the controller has looked at it.
        route = old if issued.asked and _can_serve(old, versions) else None
        if issued.asked:
            still = "what was live before stays" if route else "nothing is live"
            problems.append(f"The model waits for a controller to issue its first route; {still}")
    else:
        here = on_node(issued.route, node)
        fallbacks = (here, old, stable_alone(issued.route), stable_alone(old) if old else None)
        route = next((one for one in fallbacks if _can_serve(one, versions)), None)
        problems += _lacking(here, route, versions)
    if route is None or not route.issued:
        return Force(route, before.aliases if route else {}, tuple(problems))
    wanted = dict(route.aliases)
    was = before.aliases if before.route is not None and before.route.issued else {}
    aliases = effective(wanted, was, versions)
    return Force(route, aliases, (*problems, *lagging("alias", wanted, aliases, versions)))


def on_node(route: Route, node: str) -> Route:
    """The route as this machine serves it: one that a rolling version has come to gives it everything.

    What the machine served before stays in its memory.
    """
    rolling = route.rolling
    if rolling is None or node not in rolling.nodes:
        return route
    left = tuple(dict.fromkeys((*(arm.version for arm in route.arms), *route.warm)))
    return replace(route, arms=(Arm(names.ARM_CANDIDATE, rolling.version, WHOLE),), warm=left)


def stable_alone(route: Route) -> Route:
    """The route where only its stable arm can be had. Nothing is counted in its epoch: its split is not the issued one."""
    arms = (Arm(route.stable.name, route.stable.version, WHOLE),)
    return replace(route, arms=arms, watched=False, shield=False, mirror=None, drill=None)


def _can_serve(route: Route | None, versions: Versions) -> bool:
    return route is not None and all(is_ready(arm.version, versions) for arm in route.arms)


def _lacking(here: Route, route: Route | None, versions: Versions) -> list[str]:
    """What keeps the issued route from being served as it is, or will keep its shadow from being run."""
    unready = [arm for arm in here.arms if not is_ready(arm.version, versions)]
    still = "nothing is live"
    if route is not None:
        still = f"epoch {route.epoch} stays" if route.epoch != here.epoch else "the stable version answers alone"
    problems = [
        f"Epoch {here.epoch}: version {arm.version} ({arm.name}) {state_of(arm.version, versions)}; {still}" for arm in unready
    ]
    if here.mirror is not None and not is_ready(here.mirror, versions):
        what = f"version {here.mirror} {state_of(here.mirror, versions)}"
        problems.append(f"Epoch {here.epoch}: {what}; nothing is mirrored to it")
    return problems
