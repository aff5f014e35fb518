"""Which versions are compiled, when anew, and what is written about it in MLflow.

A version serves as it is until its compiled form is there: `form` says what is known at once, `compile` finds out the rest.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from serving.compiling.promotion import Compiler
from serving.resolver.index import Finding, Index
from serving.resolver.schedule import Outcome
from serving.store import Store, folder_of
from stagedoor import names
from stagedoor.domain.intent import ModelVersion
from stagedoor.domain.snapshot import VersionEntry
from stagedoor.domain.tuning import parse_tuning
from stagedoor.errors import RegistryError, RegistryNotFound
from stagedoor.registry.port import Registry
from stagedoor.telemetry import get_logger

MADE: Final = "onnx:"
"""How the tag begins where there is a compiled form: the rest are this machine's own measurements."""
_NO_TOOLS: Final = "no: The converters are not installed beside the gateway; install stagedoor[compile]."


class CompiledForms:
    """The compiled forms of one machine. Safe to call from several threads at once."""

    def __init__(  # noqa: PLR0913, PLR0917  the parts of a compilation
        self,
        registry: Registry,
        store: Store,
        index: Index,
        compiler: Compiler,
        is_candidate: Callable[[Path], bool],
        tools: str,
    ) -> None:
        self._registry = registry
        self._store = store
        self._index = index
        self._compiler = compiler
        self._is_candidate = is_candidate
        self._tools = tools
        self._log = get_logger()

    def form(self, version: ModelVersion, finding: Finding) -> tuple[str, bool]:
        """The digest of the form to serve, "" for none, and whether one is still to be made. Compiles nothing.

        What other converters made serves until these have looked at it. Raises RegistryError where the model's tags cannot
        be read.
        """
        if not self._is_candidate(folder_of(self._store.root, finding.digest)) or not self._is_wanted(version):
            return "", False
        if not self._tools:
            self._record(version, _NO_TOOLS)
            return "", False
        compiled = finding.compiled if self._store.check(finding.compiled) else ""
        if not finding.said or finding.tools != self._tools or compiled != finding.compiled:
            return compiled, True
        self._record(version, finding.said)
        return compiled, False

    def compile(self, name: str, version: str, had: VersionEntry) -> Outcome:
        """Make the compiled form of a version that is ready as `had`, or find out why it has none. Takes as long as it takes.

        What people said meanwhile counts: a tag that turns it off, another version of the same number, none at all.
        """
        try:
            return self._compiled(name, version, had)
        except RegistryNotFound:
            return Outcome(had)  # it is gone; the next reading of the registry says so
        except RegistryError as error:
            why = str(error)
        except OSError as error:
            why = f"the state folder cannot be written (errno {error.errno})"
        self._log.warning("compilation_held_up", model=name, version=version, why=why)
        return Outcome(had, settled=False, more=True)

    def _compiled(self, name: str, version: str, had: VersionEntry) -> Outcome:
        asked, finding = self._found(name, version)
        if finding is None or finding.digest != had.digest:
            return Outcome(had)
        if self.form(asked, finding)[1]:
            made = self._compiler(finding.digest, name)
            level = "version_compiled" if made.digest else "version_not_compiled"
            self._log.info(level, model=name, version=version, why=made.said)
            self._index.put(asked, replace(finding, compiled=made.digest, said=made.said, tools=self._tools))
            asked, finding = self._found(name, version)
            if finding is None or finding.digest != had.digest:
                return Outcome(had)
        compiled, more = self.form(asked, finding)
        return Outcome(replace(had, compiled=compiled), settled=not more, more=more)

    def _found(self, name: str, version: str) -> tuple[ModelVersion, Finding | None]:
        asked = self._registry.version(name, version)
        return asked, self._index.get(asked)

    def _is_wanted(self, version: ModelVersion) -> bool:
        """By the version's own tag and the model's; one that is malformed asks for nothing."""
        if not parse_tuning(version.tags)[0].compile:
            return False
        return parse_tuning(self._registry.model(version.name).tags)[0].compile

    def _record(self, version: ModelVersion, said: str) -> None:
        """Once: another machine measures other times, and finds the same."""
        before = version.tags.get(names.TAG_COMPILED, "")
        if before == said or (before.startswith(MADE) and said.startswith(MADE)):
            return
        try:
            self._registry.tag_version(version.name, version.version, names.TAG_COMPILED, said)
        except RegistryError as error:
            self._log.warning("compilation_not_recorded", model=version.name, version=version.version, why=str(error))
