"""Following the registry: from what people asked for to what one machine serves. Pure; the resolver acts on it.

In the mode `aliases` the aliases and the tag `stagedoor.traffic` say what is live. In the mode `route` a controller does,
by the tag `stagedoor.route`; names that it does not answer for mean what they do in the other mode.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from stagedoor import names
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.issued import bring_into_force, governed_aliases, read_issued
from stagedoor.domain.readiness import Versions, effective, is_ready, lagging, read_tag
from stagedoor.domain.snapshot import ModelEntry
from stagedoor.domain.traffic import WHOLE, Arm, Route, Sticky, TrafficPolicy, salt_for
from stagedoor.domain.tuning import parse_tuning

Mode = Literal["aliases", "route"]

FOLLOWED_STAGES: Final = frozenset({"Production", "Staging"})
"""The stages whose versions are kept on disk; the others only say which version number they mean."""


@dataclass(frozen=True, slots=True)
class Follower:
    """How a machine follows: by what (STAGEDOOR_FOLLOW), and its name among several (STAGEDOOR_NODE_NAME)."""

    mode: Mode = "aliases"
    node: str = ""


ALIASES: Final = Follower()


class _Wish(NamedTuple):
    """A model with its tags read, and what there is of it here."""

    model: RegisteredModel
    policy: TrafficPolicy | None
    sticky: Sticky | None
    before: ModelEntry
    versions: Versions


class _Meaning(NamedTuple):
    """What a model's names mean here. `issued` is the text of the controller's last route."""

    aliases: Mapping[str, str]
    stages: Mapping[str, str]
    route: Route | None
    issued: str | None
    problems: list[str]


def follow(
    model: RegisteredModel, versions: Versions, previous: ModelEntry | None, serial: int, how: Follower = ALIASES
) -> ModelEntry:
    """Decide what `model` means on this machine.

    `versions` says how far each version has come here. A route that is derived here has `serial` as its epoch if it differs
    from the previous one; one that a controller issued has its own, which does not go back while the model exists.
    A name moves to its new version once that is ready; until then, and for good if it is refused, it means the old one.
    A malformed tag leaves the last well-formed one in force. Every difference between wish and reality is a problem.
    """
    before = previous or ModelEntry(model.name)
    policy = read_tag(model.tags.get(names.TAG_TRAFFIC), before.policy, TrafficPolicy.parse)
    sticky = read_tag(model.tags.get(names.TAG_STICKY), before.sticky, Sticky.parse)
    tuning, untuned = parse_tuning(model.tags, before.tuning)
    wish = _Wish(model, policy.value, sticky.value, before, versions)
    meaning = _as_issued(wish, how.node) if how.mode == "route" else _as_named(wish, serial)
    problems = [problem for problem in (policy.problem, sticky.problem, *untuned, *meaning.problems) if problem]
    return replace(
        before,
        aliases=meaning.aliases,
        stages=meaning.stages,
        policy=policy.text,
        sticky=sticky.text,
        issued=meaning.issued,
        route=meaning.route,
        versions=versions,
        problems=tuple(problems),
        created_at=model.created_at,
        tuning=tuning,
    )


def wanted_versions(model: RegisteredModel, previous: ModelEntry | None = None, how: Follower = ALIASES) -> frozenset[str]:
    """The versions to have on disk: all that an alias, a live stage or an issued route names, and a served model's newest."""
    named = {*model.aliases.values(), *_followed(model).values()}
    if how.mode == "route":
        issued = read_issued(model, previous or ModelEntry(model.name)).route
        named |= issued.versions if issued else frozenset()
    if named and model.newest:
        named.add(model.newest)
    return frozenset(named)


def versions_in_use(entry: ModelEntry) -> frozenset[str]:
    """The versions that an effective name or the route of `entry` means: those that must stay while it holds."""
    stages = {version for stage, version in entry.stages.items() if stage in FOLLOWED_STAGES}
    routed = entry.route.versions if entry.route else frozenset()
    return frozenset({*entry.aliases.values(), *stages, *routed})


def _followed(model: RegisteredModel) -> dict[str, str]:
    return {stage: version for stage, version in model.stages.items() if stage in FOLLOWED_STAGES}


# --- without a controller ---------------------------------------------------------------------------------------------


def _as_named(wish: _Wish, serial: int) -> _Meaning:
    model, policy, sticky, before, versions = wish
    followed = _followed(model)
    aliases = effective(model.aliases, before.aliases, versions)
    stages = {**model.stages, **effective(followed, before.stages, versions)}
    arms, problems = _arms(policy, aliases, stages, versions)
    route = _route(model.name, arms, sticky, serial, before.route)
    lag = [*lagging("alias", model.aliases, aliases, versions), *lagging("stage", followed, stages, versions)]
    return _Meaning(aliases, stages, route, None, [*problems, *lag])


def _arms(
    policy: TrafficPolicy | None, aliases: Mapping[str, str], stages: Mapping[str, str], versions: Versions
) -> tuple[tuple[Arm, ...], list[str]]:
    """The arms that can take traffic. A candidate that cannot leaves its share to the stable arm."""
    if policy is None and names.CHAMPION not in aliases and names.PRODUCTION in stages:
        return _single(names.PRODUCTION, stages[names.PRODUCTION], versions), []
    weights = (policy or TrafficPolicy.all_to(names.CHAMPION)).weights
    problems = []
    candidates = []
    for alias, weight in weights[1:]:
        if alias not in aliases:
            problems.append(f"Tag {names.TAG_TRAFFIC}: no version has the alias {alias}; its share goes to {weights[0][0]}")
        elif weight and is_ready(aliases[alias], versions):
            candidates.append(Arm(alias, aliases[alias], weight))
    stable = weights[0][0]
    if policy is not None and stable not in aliases:
        problems.append(f"Tag {names.TAG_TRAFFIC}: no version has the alias {stable}, which comes first; nothing is live")
    if not is_ready(aliases.get(stable), versions):
        return (), problems
    rest = WHOLE - sum(arm.weight for arm in candidates)
    return (Arm(stable, aliases[stable], rest), *candidates), problems


def _single(name: str, version: str, versions: Versions) -> tuple[Arm, ...]:
    return (Arm(name, version, WHOLE),) if is_ready(version, versions) else ()


def _route(model: str, arms: tuple[Arm, ...], sticky: Sticky | None, epoch: int, before: Route | None) -> Route | None:
    if not arms:
        return None
    salt = salt_for(model, tuple(arm.version for arm in arms[1:]))
    route = Route(epoch, arms, salt, sticky, "follows the registry")
    derived_before = before is not None and not before.issued and before.epoch > 0
    return before if before is not None and derived_before and route.same_split(before) else route


# --- with a controller ------------------------------------------------------------------------------------------------


def _as_issued(wish: _Wish, node: str) -> _Meaning:
    model, policy, _, before, versions = wish
    issued = read_issued(model, before)
    force = bring_into_force(issued, before, versions, node)
    governed = governed_aliases(policy, issued.route, force.route)
    free = {alias: version for alias, version in model.aliases.items() if alias not in governed}
    answered = {alias: version for alias, version in force.aliases.items() if alias in governed}
    aliases = {**effective(free, before.aliases, versions), **answered}
    followed = _followed(model)
    stages = {**model.stages, **effective(followed, before.stages, versions)}
    if names.CHAMPION not in model.aliases and followed.pop(names.PRODUCTION, None) is not None:
        del stages[names.PRODUCTION]  # it stands for the champion, for which the controller answers
        stages |= {names.PRODUCTION: force.route.stable.version} if force.route else {}
    lag = [*lagging("alias", free, aliases, versions), *lagging("stage", followed, stages, versions)]
    return _Meaning(aliases, stages, force.route, issued.text, [*force.problems, *lag])
