"""What one worker serves at one moment, and the pure step from one such moment to the next."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from serving.loading.version import Version
from stagedoor.domain.issued import stable_alone
from stagedoor.domain.snapshot import ModelEntry, Snapshot


class Key(NamedTuple):
    """One version with one content: a name that is deleted and made anew starts again at version 1."""

    name: str
    version: str
    digest: str
    compiled: str = ""


@dataclass(frozen=True, slots=True)
class LiveModel:
    """One model here. `entry` is the one in force; `loaded` has at least all arms of its route, by version.

    `worked_out` is for routing to keep what is the same for each request, for as long as this moment lasts.
    """

    entry: ModelEntry
    loaded: Mapping[str, Version]
    worked_out: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


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
    """The next view. Arms that are `missing` hold up the rest of the snapshot; what is wanted `beside` the arms does not."""

    view: View
    missing: tuple[Key, ...]
    beside: tuple[Key, ...] = ()


def advance(view: View, snapshot: Snapshot, loaded: Mapping[Key, Version], failed: Collection[Key]) -> Advance:
    """Bring as much of `snapshot` into force as `loaded` allows.

    A model whose arms are not all loaded stays as it was; one that never was in force here has no route yet. Only where
    a controller issued the route and nothing but candidates failed to load, the stable arm alone begins.
    """
    by_model: dict[str, dict[Key, Version]] = {}
    for key, version in loaded.items():
        by_model.setdefault(key.name, {})[key] = version
    models = {}
    missing: list[Key] = []
    for name, entry in snapshot.models.items():
        lacking = [key for key in arm_keys(entry) if key not in loaded]
        missing += lacking
        current = _current(view.models.get(name), entry, lacking, failed)
        models[name] = LiveModel(current, _loaded(by_model.get(name, {}), current, entry))
    waiting = any(key not in failed for key in missing)
    serial = view.serial if waiting else max(view.serial, snapshot.serial)
    beside = tuple(sorted(key for entry in snapshot.models.values() for key in beside_keys(entry) if key not in loaded))
    return Advance(View(serial, models, view.stale), tuple(missing), beside)


def arm_keys(entry: ModelEntry) -> tuple[Key, ...]:
    """The versions that the route of `entry` names."""
    arms = entry.route.arms if entry.route else ()
    keys = (version_key(entry, arm.version) for arm in arms)
    return tuple(key for key in keys if key is not None)


def beside_keys(entry: ModelEntry) -> frozenset[Key]:
    """What the route of `entry` wants in memory besides: to go back to, to mirror to, to be next."""
    versions = entry.route.versions if entry.route else frozenset[str]()
    keys = {version_key(entry, version) for version in versions}
    return frozenset(key for key in keys if key is not None) - set(arm_keys(entry))


def version_key(entry: ModelEntry, version: str) -> Key | None:
    """The key of a version of this model that is ready on this machine."""
    found = entry.versions.get(version)
    if found is None or found.state != "ready":
        return None
    return Key(entry.name, version, found.digest, found.compiled)


def route_keys(view: View, snapshot: Snapshot) -> tuple[frozenset[Key], frozenset[Key]]:
    """Everything that traffic may fall to, now or as soon as it is loaded; and what those routes want in memory besides."""
    entries = [live.entry for live in view.models.values()] + list(snapshot.models.values())
    arms = frozenset(key for entry in entries for key in arm_keys(entry))
    return arms, frozenset(key for entry in entries for key in beside_keys(entry)) - arms


def _current(old: LiveModel | None, entry: ModelEntry, lacking: list[Key], failed: Collection[Key]) -> ModelEntry:
    before = old.entry.route if old is not None else None
    if old is not None and before is not None and (lacking or _goes_back(old.entry, entry)):
        return old.entry if old.entry.tuning == entry.tuning else replace(old.entry, tuning=entry.tuning)
    if not lacking or entry.route is None:
        return entry
    stable = version_key(entry, entry.route.stable.version)
    may_begin = entry.route.issued and stable not in lacking and all(key in failed for key in lacking)
    return replace(entry, route=stable_alone(entry.route) if may_begin else None)


def _goes_back(before: ModelEntry, entry: ModelEntry) -> bool:
    """Whether the epoch of the same model would; epochs of a controller and of a resolver are not of one count."""
    if before.route is None or entry.route is None or before.created_at != entry.created_at:
        return False
    return before.route.issued == entry.route.issued and entry.route.epoch < before.route.epoch


def _loaded(known: Mapping[Key, Version], current: ModelEntry, entry: ModelEntry) -> dict[str, Version]:
    """The loaded versions whose content is the one in force, or the coming one where none is in force."""
    versions = {**entry.versions, **current.versions}
    wanted = {version: (found.digest, found.compiled) for version, found in versions.items()}
    return {key.version: version for key, version in known.items() if wanted.get(key.version) == (key.digest, key.compiled)}
