"""Following the registry: from what people asked for to what one machine serves. Pure; the resolver acts on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from stagedoor import names
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.snapshot import ModelEntry, VersionEntry
from stagedoor.domain.traffic import WHOLE, Arm, Route, Sticky, TrafficPolicy, salt_for
from stagedoor.errors import InvalidTag

T = TypeVar("T")

FOLLOWED_STAGES: Final = frozenset({"Production", "Staging"})
"""The stages whose versions are kept on disk; the others only say which version number they mean."""


@dataclass(frozen=True, slots=True)
class _Reading(Generic[T]):
    """A tag as last understood: its text, its value, and the complaint about what it says now."""

    text: str | None
    value: T | None
    problem: str | None = None


def follow(model: RegisteredModel, versions: Mapping[str, VersionEntry], previous: ModelEntry | None, epoch: int) -> ModelEntry:
    """Decide what `model` means on this machine.

    `versions` says how far each version has come here; `epoch` marks the route if it differs from the previous one.
    A name moves to its new version once that is ready; until then, and for good if it is refused, it means the old one.
    A malformed tag leaves the last well-formed one in force. Every difference between wish and reality is a problem.
    """
    before = previous or ModelEntry(model.name)
    aliases = _effective(model.aliases, before.aliases, versions)
    followed = {stage: version for stage, version in model.stages.items() if stage in FOLLOWED_STAGES}
    stages = {**model.stages, **_effective(followed, before.stages, versions)}
    policy = _read(model.tags.get(names.TAG_TRAFFIC), before.policy, TrafficPolicy.parse)
    sticky = _read(model.tags.get(names.TAG_STICKY), before.sticky, Sticky.parse)
    arms, arm_problems = _arms(policy.value, aliases, stages, versions)
    route = _route(model.name, arms, sticky.value, epoch, before.route)
    lag = [*_lagging("alias", model.aliases, aliases, versions), *_lagging("stage", followed, stages, versions)]
    problems = [problem for problem in (policy.problem, sticky.problem, *arm_problems, *lag) if problem]
    return replace(
        before,
        aliases=aliases,
        stages=stages,
        policy=policy.text,
        sticky=sticky.text,
        route=route,
        versions=versions,
        problems=tuple(problems),
    )


def wanted_versions(model: RegisteredModel) -> frozenset[str]:
    """The versions to have on disk: all that an alias or a live stage names, and the newest one of a model that is served."""
    stages = {version for stage, version in model.stages.items() if stage in FOLLOWED_STAGES}
    named = {*model.aliases.values(), *stages}
    if named and model.newest:
        named.add(model.newest)
    return frozenset(named)


def versions_in_use(entry: ModelEntry) -> frozenset[str]:
    """The versions that an effective name or the route of `entry` means: those that must stay while it holds."""
    stages = {version for stage, version in entry.stages.items() if stage in FOLLOWED_STAGES}
    arms = {arm.version for arm in entry.route.arms} if entry.route else set()
    return frozenset({*entry.aliases.values(), *stages, *arms})


def _is_ready(version: str | None, versions: Mapping[str, VersionEntry]) -> bool:
    return version is not None and version in versions and versions[version].state == "ready"


def _effective(wanted: Mapping[str, str], before: Mapping[str, str], versions: Mapping[str, VersionEntry]) -> dict[str, str]:
    effective = {}
    for name, version in wanted.items():
        old = before.get(name)
        keep_old = old is not None and not _is_ready(version, versions) and _is_ready(old, versions)
        effective[name] = old if old is not None and keep_old else version
    return effective


def _read(text: str | None, before: str | None, parse: Callable[[str], T]) -> _Reading[T]:
    """Parse a tag, falling back to the text that was in force before."""
    if text is None:
        return _Reading(None, None)
    try:
        return _Reading(text, parse(text))
    except InvalidTag as error:
        fallback = parse(before) if before is not None else None
        return _Reading(before, fallback, str(error))


def _arms(
    policy: TrafficPolicy | None,
    aliases: Mapping[str, str],
    stages: Mapping[str, str],
    versions: Mapping[str, VersionEntry],
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
        elif weight and _is_ready(aliases[alias], versions):
            candidates.append(Arm(alias, aliases[alias], weight))
    stable = weights[0][0]
    if policy is not None and stable not in aliases:
        problems.append(f"Tag {names.TAG_TRAFFIC}: no version has the alias {stable}, which comes first; nothing is live")
    if not _is_ready(aliases.get(stable), versions):
        return (), problems
    rest = WHOLE - sum(arm.weight for arm in candidates)
    return (Arm(stable, aliases[stable], rest), *candidates), problems


def _single(name: str, version: str, versions: Mapping[str, VersionEntry]) -> tuple[Arm, ...]:
    return (Arm(name, version, WHOLE),) if _is_ready(version, versions) else ()


def _route(model: str, arms: tuple[Arm, ...], sticky: Sticky | None, epoch: int, before: Route | None) -> Route | None:
    if not arms:
        return None
    salt = salt_for(model, tuple(arm.version for arm in arms[1:]))
    route = Route(epoch, arms, salt, sticky, "follows the registry")
    return before if before is not None and route.same_split(before) else route


def _lagging(
    kind: str, wanted: Mapping[str, str], effective: Mapping[str, str], versions: Mapping[str, VersionEntry]
) -> list[str]:
    problems = []
    for name, version in wanted.items():
        entry = versions.get(version)
        if entry is None or entry.state == "ready":
            continue
        still = f"version {effective[name]} keeps serving" if effective[name] != version else "nothing serves in its place"
        why = "is on its way"
        if entry.code:
            why = f"{'was refused' if entry.state == 'refused' else 'is held up'} ({entry.code}): {entry.reason}"
        problems.append(f"{kind} {name}: version {version} {why}; {still}")
    return problems
