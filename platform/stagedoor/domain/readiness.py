"""How far versions have come on one machine, and what names mean meanwhile."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from stagedoor.domain.snapshot import VersionEntry
from stagedoor.errors import InvalidTag

T = TypeVar("T")
Versions = Mapping[str, VersionEntry]
"""How far each version has come here, by its number."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """A tag as last understood: its text, its value, and the complaint about what it says now."""

    text: str | None
    value: T | None
    problem: str | None = None


def read_tag(text: str | None, before: str | None, parse: Callable[[str], T]) -> Reading[T]:
    """Parse a tag, falling back to the text that was in force before."""
    if text is None:
        return Reading(None, None)
    try:
        return Reading(text, parse(text))
    except InvalidTag as error:
        fallback = parse(before) if before is not None else None
        return Reading(before, fallback, str(error))


def is_ready(version: str | None, versions: Versions) -> bool:
    """Whether this machine could serve it."""
    return version is not None and version in versions and versions[version].state == "ready"


def effective(wanted: Mapping[str, str], before: Mapping[str, str], versions: Versions) -> dict[str, str]:
    """What each name means: its new version once that is ready, the old one until then."""
    meant = {}
    for name, version in wanted.items():
        old = before.get(name)
        keep_old = old is not None and not is_ready(version, versions) and is_ready(old, versions)
        meant[name] = old if old is not None and keep_old else version
    return meant


def state_of(version: str, versions: Versions) -> str:
    """A clause that says why it is not ready."""
    entry = versions.get(version)
    if entry is None or not entry.code:
        return "is on its way"
    return f"{'was refused' if entry.state == 'refused' else 'is held up'} ({entry.code}): {entry.reason}"


def lagging(kind: str, wanted: Mapping[str, str], meant: Mapping[str, str], versions: Versions) -> list[str]:
    """A sentence for each name whose version is not ready."""
    problems = []
    for name, version in wanted.items():
        if version not in versions or is_ready(version, versions):
            continue
        still = f"version {meant[name]} keeps serving" if meant[name] != version else "nothing serves in its place"
        problems.append(f"{kind} {name}: version {version} {state_of(version, versions)}; {still}")
    return problems
