"""What one worker serves at one moment, and the pure step from one such moment to the next."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from serving.loading.version import Version
from stagedoor.domain.issued import stable_alone
from stagedoor.domain.snapshot import ModelEntry, Snapshot


class Key(NamedTuple):
    """One form of one version with one content: a name that is deleted and made anew starts again at version 1.

    `compiled` is "" for the version as it is. Forms of the same content answer alike, so that one stands in for another.
    """

    name: str
    version: str
    digest: str
    compiled: str = ""

    @property
    def content(self) -> tuple[str, str, str]:
        """What all its forms have in common."""
        return self.name, self.version, self.digest


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
    """The next view. Arms that are `missing` hold up the rest of the snapshot; what is wanted `beside` does not.

    Beside the arms, and beside what stands in for another form of itself.
    """

    view: View
    missing: tuple[Key, ...]
    beside: tuple[Key, ...] = ()


def advance(view: View, snapshot: Snapshot, loaded: Mapping[Key, Version], failed: Collection[Key]) -> Advance:
    """Bring as much of `snapshot` into force as `loaded` allows.

    A model whose arms are not all loaded, in one form or another, stays as it was; one that never was in force here has no
    route yet. Only where a controller issued the route and nothing but candidates failed to load, the stable arm alone begins.
    """
    contents = {key.content for key in loaded}
    by_model: dict[str, dict[Key, Version]] = {}
    for key, version in loaded.items():
        by_model.setdefault(key.name, {})[key] = version
    models = {}
    missing: list[Key] = []
    beside: set[Key] = set()
    for name, entry in snapshot.models.items():
        lacking = [key for key in arm_keys(entry) if key.content not in contents]
        missing += lacking
        beside |= {key for key in ready_keys(entry) if key.content in contents} | beside_keys(entry)
        current = _current(view.models.get(name), entry, lacking, failed)
        models[name] = LiveModel(current, _loaded(by_model.get(name, {}), current, entry))
    waiting = any(key not in failed for key in missing)
    serial = view.serial if waiting else max(view.serial, snapshot.serial)
    return Advance(View(serial, models, view.stale), tuple(missing), tuple(sorted(beside - loaded.keys())))


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


def ready_keys(entry: ModelEntry) -> tuple[Key, ...]:
    """The versions of this model that are ready on this machine."""
    keys = (version_key(entry, version) for version in entry.versions)
    return tuple(key for key in keys if key is not None)


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


def with_stand_ins(keys: Collection[Key], loaded: Collection[Key]) -> frozenset[Key]:
    """`keys`, and what of `loaded` stands in for those of them that are not there yet."""
    absent = {key.content for key in keys if key not in loaded}
    return frozenset({*keys, *(key for key in loaded if key.content in absent)})


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
    """The loaded versions whose content is the one in force, or the coming one where none is in force.

    In the form that is wanted; until that is loaded, in another.
    """
    versions = {**entry.versions, **current.versions}
    fitting = [key for key in known if key.version in versions and versions[key.version].digest == key.digest]
    fitting.sort(key=lambda key: (key.compiled == versions[key.version].compiled, not key.compiled, key))
    return {key.version: known[key] for key in fitting}  # the last counts
