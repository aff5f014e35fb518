"""The in-memory twin of MLflow's registry: same answers, same errors, no server."""

import shutil
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from stagedoor import names
from stagedoor.domain.intent import Author, ModelVersion, RegisteredModel
from stagedoor.errors import MissingArtifact, RegistryConflict, RegistryError, RegistryNotFound
from stagedoor.registry.port import ANY, Anything, Page


@dataclass(slots=True)
class _Model:
    """What is registered under one name; `last` is the highest version number ever given."""

    created_at: int
    last: int = 0
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class MemoryRegistry:
    """A registry in this process. The verbs beyond the ports do what people do in MLflow's UI.

    While `broken` holds an error, every verb of the ports raises it, as a dead or lying server would make it. `runs` maps
    a run to its metrics.
    """

    def __init__(self, page_size: int = 125) -> None:
        self._page_size = page_size
        self.broken: RegistryError | None = None
        self.fetches: list[tuple[str, str]] = []
        self.runs: dict[str, dict[str, float]] = {}
        self._models: dict[str, _Model] = {}
        self._created = 0
        self._lock = threading.RLock()

    # --- Registry ---

    def models(self, only: Collection[str] = (), page: str = "") -> Page:
        """See Registry."""
        with self._lock:
            self._fail_if_broken()
            found = [name for name in sorted(self._models) if not only or name in only]
            begin = int(page or 0)
            end = begin + self._page_size
            return Page(tuple(map(self._view, found[begin:end])), str(end) if end < len(found) else "")

    def model(self, name: str) -> RegisteredModel:
        """See Registry."""
        with self._lock:
            self._fail_if_broken()
            self._find(name)
            return self._view(name)

    def version(self, name: str, version: str) -> ModelVersion:
        """See Registry."""
        with self._lock:
            self._fail_if_broken()
            return self._find_version(name, version)

    def fetch(self, version: ModelVersion, into: Path) -> None:
        """See Registry."""
        with self._lock:
            self._fail_if_broken()
            source = Path(self._find_version(version.name, version.version).source)
            self.fetches.append((version.name, version.version))
        if not source.is_dir() or not any(source.iterdir()):
            raise MissingArtifact("The version has no files. Log the model again.")
        shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True)

    # --- RegistryWriter ---

    def move_alias(self, name: str, alias: str, version: str | None, *, expected: str | Anything | None, who: str = "") -> None:
        """See RegistryWriter. As the guarded server does, it writes down who asked, if that is said."""
        with self._lock:
            self._fail_if_broken()
            current = self._find(name).aliases.get(alias)
            if expected is not ANY and current not in {version, expected}:
                raise RegistryConflict("The alias has been moved by somebody else in between.")
            if version is None:
                self.delete_alias(name, alias)
            else:
                self.set_alias(name, alias, version)
            self._sign(name, alias, version, who)

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        """See RegistryWriter."""
        with self._lock:
            self._fail_if_broken()
            self.set_tag(name, key, value)

    def tag_version(self, name: str, version: str, key: str, value: str | None) -> None:
        """See RegistryWriter."""
        with self._lock:
            self._fail_if_broken()
            found = self._find_version(name, version)
            tags = {other: text for other, text in found.tags.items() if other != key}
            if value is not None:
                tags[key] = value
            self._models[name].versions[version] = replace(found, tags=tags)

    def move_stage(self, name: str, version: str, stage: str, *, who: str = "") -> None:
        """See RegistryWriter. It writes down who asked, as above."""
        with self._lock:
            self._fail_if_broken()
            self.set_stage(name, version, stage)
            self._sign(name, stage, version, who)

    def run_metrics(self, run_id: str) -> Mapping[str, float]:
        """See RegistryWriter."""
        with self._lock:
            self._fail_if_broken()
            if run_id not in self.runs:
                raise RegistryNotFound("The registry has no such run.")
            return dict(self.runs[run_id])

    # --- what people do ---

    def register(self, name: str, source: Path, tags: Mapping[str, str] | None = None, run_id: str | None = None) -> str:
        """Add a version (and the model, if new) whose files lie in the folder `source`; return its number."""
        with self._lock:
            if name not in self._models:
                self._created += 1
                self._models[name] = _Model(self._created)
            model = self._models[name]
            model.last += 1
            version = str(model.last)
            model.versions[version] = ModelVersion(name, version, str(source), run_id, dict(tags or {}))
            model.stages[version] = "None"
            return version

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        with self._lock:
            self._find_version(name, version)
            self._models[name].aliases[alias] = version

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; none is fine too, as in MLflow."""
        with self._lock:
            self._find(name).aliases.pop(alias, None)

    def set_tag(self, name: str, key: str, value: str | None) -> None:
        """Set a tag of the model; None deletes it."""
        with self._lock:
            tags = self._find(name).tags
            tags.pop(key, None)
            if value is not None:
                tags[key] = value

    def set_stage(self, name: str, version: str, stage: str) -> None:
        """Move a version to a stage."""
        with self._lock:
            self._find_version(name, version)
            self._models[name].stages[version] = stage

    def delete_version(self, name: str, version: str) -> None:
        """Delete a version; its aliases go with it, as in MLflow. Its number is never given again."""
        with self._lock:
            self._find_version(name, version)
            model = self._models[name]
            del model.versions[version], model.stages[version]
            model.aliases = {alias: v for alias, v in model.aliases.items() if v != version}

    def delete_model(self, name: str) -> None:
        """Delete a model with all its versions."""
        with self._lock:
            self._find(name)
            del self._models[name]

    # --- inside ---

    def _fail_if_broken(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _sign(self, name: str, moved: str, version: str | None, who: str) -> None:
        if who:
            self.set_tag(name, f"{names.TAG_BY_PREFIX}{moved}", str(Author(who, version, datetime.now(UTC))))

    def _find(self, name: str) -> _Model:
        if name not in self._models:
            raise RegistryNotFound("The registry has no such model.")
        return self._models[name]

    def _find_version(self, name: str, version: str) -> ModelVersion:
        versions = self._find(name).versions
        if version not in versions:
            raise RegistryNotFound("The registry has no such version.")
        return versions[version]

    def _view(self, name: str) -> RegisteredModel:
        model = self._models[name]
        ordered = sorted(model.versions, key=int)
        stages = {model.stages[version]: version for version in ordered}
        newest = ordered[-1] if ordered else None
        return RegisteredModel(name, dict(model.aliases), stages, dict(model.tags), newest, model.created_at)
