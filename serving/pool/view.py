"""What one worker serves at one moment, and the pure step from one such moment to the next."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from serving.loading.version import Version
from stagedoor.domain.snapshot import ModelEntry, Snapshot


class Key(NamedTuple):
    """One version with one content: a name that is deleted and made anew starts again at version 1."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class LiveModel:
    """One model here. `entry` is the one in force; `loaded` has at least all arms of its route, by version."""

    entry: ModelEntry
    loaded: Mapping[str, Version]


@dataclass(frozen=True, slots=True)
class View:
    """All models here. `serial` is that of the last snapshot of which every model is in force or has failed to load.

    `stale`: MLflow has not been read for longer than is allowed, so nobody could take back what it last said; routes that a
    controller issued then send everything to their stable arm.
    """

    serial: int
    models: Mapping[str, LiveModel]
    stale: bool = False


EMPTY: Final = View(0, MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Advance:
    """The next view, and the arms that have to be loaded before the rest of the snapshot can come into force."""

    view: View
    missing: tuple[Key, ...]


def advance(view: View, snapshot: Snapshot, loaded: Mapping[Key, Version], failed: Collection[Key]) -> Advance:
    """Bring as much of `snapshot` into force as `loaded` allows.

    A model whose arms are not all loaded stays as it was; one that never was in force here has no route yet.
    """
    by_model: dict[str, dict[Key, Version]] = {}
    for key, version in loaded.items():
        by_model.setdefault(key.name, {})[key] = version
    models = {}
    missing: list[Key] = []
    for name, entry in snapshot.models.items():
        lacking = [key for key in arm_keys(entry) if key not in loaded]
        missing += lacking
        current = _current(view.models.get(name), entry, complete=not lacking)
        models[name] = LiveModel(current, _loaded(by_model.get(name, {}), current, entry))
    waiting = any(key not in failed for key in missing)
    serial = view.serial if waiting else max(view.serial, snapshot.serial)
    return Advance(View(serial, models, view.stale), tuple(missing))


def arm_keys(entry: ModelEntry) -> tuple[Key, ...]:
    """The versions that the route of `entry` names."""
    arms = entry.route.arms if entry.route else ()
    keys = (version_key(entry, arm.version) for arm in arms)
    return tuple(key for key in keys if key is not None)


def version_key(entry: ModelEntry, version: str) -> Key | None:
    """The key of a version of this model that is ready on this machine."""
    found = entry.versions.get(version)
    return Key(entry.name, version, found.digest) if found is not None and found.state == "ready" else None


def route_keys(view: View, snapshot: Snapshot) -> frozenset[Key]:
    """Everything that traffic may fall to, now or as soon as it is loaded."""
    entries = [live.entry for live in view.models.values()] + list(snapshot.models.values())
    return frozenset(key for entry in entries for key in arm_keys(entry))


def _current(old: LiveModel | None, entry: ModelEntry, *, complete: bool) -> ModelEntry:
    before = old.entry.route if old is not None else None
    goes_back = before is not None and entry.route is not None and entry.route.epoch < before.epoch
    if complete and not goes_back:
        return entry
    return old.entry if old is not None and before is not None else replace(entry, route=None)


def _loaded(known: Mapping[Key, Version], current: ModelEntry, entry: ModelEntry) -> dict[str, Version]:
    """The loaded versions whose content is the one in force, or the coming one where none is in force."""
    digests = {version: found.digest for version, found in {**entry.versions, **current.versions}.items()}
    return {key.version: version for key, version in known.items() if digests.get(key.version) == key.digest}
