"""Getting one version ready on this machine: ask, fetch, verify, probe. Runs in a thread; takes as long as it takes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from serving.resolver.index import Finding, Index
from serving.resolver.schedule import NOT_FOUND, Outcome
from serving.store import Store, folder_of
from stagedoor import names
from stagedoor.domain.intent import ModelVersion
from stagedoor.domain.snapshot import VersionEntry
from stagedoor.errors import ArtifactError, OverBudget, RegistryError, RegistryNotFound, StagedoorError, TamperedArtifact
from stagedoor.registry.port import Registry
from stagedoor.telemetry import get_logger


class Report(Protocol):
    """What a probe tells of a version that loads."""

    @property
    def flavor(self) -> str:
        """The loader that took it."""

    @property
    def memory_bytes(self) -> int:
        """About how much memory it needs once loaded."""


Probe = Callable[[Path], Report]
"""Loads and warms the version in a folder, outside this process. Raises ArtifactError."""

Form = Callable[[ModelVersion, Finding], tuple[str, bool]]
"""The digest of the compiled form to serve in a version's place, "" for none, and whether one is still to be made.

Raises RegistryError.
"""


class Preparer:
    """Prepares versions with the parts it is given. Safe to call from several threads at once."""

    def __init__(  # noqa: PLR0913, PLR0917  the parts of a preparation
        self,
        registry: Registry,
        store: Store,
        index: Index,
        probe: Probe,
        memory_budget_bytes: int,
        form: Form = lambda _version, _finding: ("", False),
    ) -> None:
        self._registry = registry
        self._store = store
        self._index = index
        self._probe = probe
        self._memory_budget = memory_budget_bytes
        self._form = form
        self._log = get_logger()

    def prepare(self, name: str, version: str, had: VersionEntry) -> Outcome:
        """Make the version ready, or say why not. `had` is what is known of it; if ready, it is only checked.

        A failure of the version itself refuses it. One of the registry or the disk leaves what is ready as it is, and
        anything else pending.
        """
        whole = had.state == "ready" and self._store.check(had.digest)
        try:
            return self._ready(self._registry.version(name, version), had.digest if whole else None)
        except RegistryNotFound:
            return Outcome(VersionEntry(version, "refused", code=NOT_FOUND, reason="The registry has no such version."))
        except ArtifactError as error:
            return Outcome(VersionEntry(version, "refused", code=code_of(error), reason=str(error)))
        except RegistryError as error:
            held_up = VersionEntry(version, "pending", code=code_of(error), reason=str(error))
        except OSError as error:
            self._log.error("storing_failed", model=name, version=version, errno=error.errno)
            held_up = VersionEntry(version, "pending", code="storage_failed", reason="The state folder cannot be written.")
        return Outcome(had if whole else held_up, settled=False)

    def _ready(self, version: ModelVersion, checked: str | None) -> Outcome:
        if not version.complete:
            reason = "MLflow has not finished its registration."
            return Outcome(VersionEntry(version.version, "pending", code="version_not_ready", reason=reason))
        finding = self._index.get(version)
        if finding is None or (finding.digest != checked and not self._store.check(finding.digest)):
            finding = self._fetch(version)
        recorded = version.tags.get(names.TAG_SHA256)
        if recorded not in {None, finding.digest}:
            raise TamperedArtifact(
                f"The files are not those whose digest the tag {names.TAG_SHA256} records. Register it anew."
            )
        self._index.put(version, finding)
        if finding.memory_bytes > self._memory_budget:
            raise OverBudget("The version needs more memory than one worker may spend (STAGEDOOR_MEMORY_BUDGET_MIB).")
        if recorded is None:
            self._record(version, finding.digest)
        compiled, more = self._form(version, finding)
        ready = VersionEntry(version.version, "ready", finding.digest, finding.flavor, finding.memory_bytes, compiled=compiled)
        return Outcome(ready, more=more)

    def _fetch(self, version: ModelVersion) -> Finding:
        digest = self._store.ingest(lambda into: self._registry.fetch(version, into))
        recorded = version.tags.get(names.TAG_SHA256)
        if recorded not in {None, digest}:
            return Finding(digest, "", 0)  # refused by the caller; files that were tampered with are never loaded
        report = self._probe(folder_of(self._store.root, digest))
        return Finding(digest, report.flavor, report.memory_bytes)

    def _record(self, version: ModelVersion, digest: str) -> None:
        try:
            self._registry.tag_version(version.name, version.version, names.TAG_SHA256, digest)
        except RegistryError as error:
            self._log.warning("digest_not_recorded", model=version.name, version=version.version, why=str(error))


def code_of(error: StagedoorError) -> str:
    """The stable code of an error: its class in snake case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
