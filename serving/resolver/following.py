"""From what is known of one model to its entry in the next snapshot, and back at the start. Pure."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from stagedoor import names
from stagedoor.domain.follow import Follower, follow, versions_in_use, wanted_versions
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.issued import read_issued
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.tuning import tuning_tags


class Here(NamedTuple):
    """One model's versions on this machine: those `demanded` beside the ones it names, and how far each has come.

    `is_uncompiled`: the version is ready as it is, and its compiled form is being made.
    """

    demanded: frozenset[str]
    known: Callable[[str], VersionEntry]
    is_uncompiled: Callable[[str], bool] = lambda _version: False


def entry_of(how: Follower, model: RegisteredModel, before: ModelEntry | None, here: Here, serial: int) -> ModelEntry:
    """The model's entry in the snapshot `serial`, after the one `before`."""
    wanted = wanted_versions(model, before, how) | here.demanded
    around = wanted | (versions_in_use(before) if before else frozenset())
    versions = {version: here.known(version) for version in around}
    for version in _on_trial(how, model, before) & around:
        if here.is_uncompiled(version):
            versions[version] = _held(versions[version])
    after = follow(model, versions, before, serial, how)
    kept = wanted | versions_in_use(after)
    return replace(after, versions={version: found for version, found in after.versions.items() if version in kept})


def _on_trial(how: Follower, model: RegisteredModel, before: ModelEntry | None) -> frozenset[str]:
    """The versions that a controller is about to compare with its stable one, and that serve nobody here yet."""
    known = before or ModelEntry(model.name)
    route = read_issued(model, known).route if how.mode == "route" else None
    if route is None:
        return frozenset()
    return route.versions - {route.stable.version} - versions_in_use(known)


def _held(found: VersionEntry) -> VersionEntry:
    """Not ready for a trial as it is: beside a compiled version it would be found too slow, for a form that is not to stay."""
    reason = "Its compiled form is being made, in which it is to be compared with the stable version."
    return replace(found, state="pending", code="version_not_ready", reason=reason)


def is_another(model: RegisteredModel, before: RegisteredModel) -> bool:
    """Whether the model was made anew under the name of the one before: the same version numbers mean other files."""
    return before.created_at not in {0, model.created_at}


def as_last_known(entry: ModelEntry) -> RegisteredModel:
    """What the registry must have said for `entry` to come about; stands in until it can be read."""
    tags = {names.TAG_TRAFFIC: entry.policy, names.TAG_STICKY: entry.sticky, names.TAG_ROUTE: entry.issued}
    newest = max(entry.versions, key=int, default=None)
    said = {key: text for key, text in tags.items() if text} | tuning_tags(entry.tuning)
    return RegisteredModel(entry.name, entry.aliases, entry.stages, said, newest, entry.created_at)


def served_models(snapshot: Snapshot) -> frozenset[str]:
    """The models of which this machine has something."""
    return frozenset(name for name, entry in snapshot.models.items() if entry.route or entry.versions)
