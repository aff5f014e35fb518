"""Which versions are compiled, when anew, and what is written about it in MLflow."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from serving.compiling.promotion import Compiler
from serving.resolver.index import Finding
from serving.store import Store, folder_of, verify
from stagedoor import names
from stagedoor.domain.intent import ModelVersion
from stagedoor.domain.tuning import parse_tuning
from stagedoor.errors import ArtifactError, RegistryError
from stagedoor.registry.port import Registry
from stagedoor.telemetry import get_logger

MADE: Final = "onnx:"
"""How the tag begins where there is a compiled form: the rest are this machine's own measurements."""
_NO_TOOLS: Final = "no: The converters are not installed beside the gateway; install stagedoor[compile]."


class CompiledForms:
    """Adds the compiled form to what is known of a version. Safe to call from several threads at once."""

    def __init__(
        self, registry: Registry, store: Store, compiler: Compiler, is_candidate: Callable[[Path], bool], tools: str
    ) -> None:
        self._registry = registry
        self._store = store
        self._compile = compiler
        self._is_candidate = is_candidate
        self._tools = tools
        self._log = get_logger()

    def __call__(self, version: ModelVersion, finding: Finding) -> Finding:
        """`finding` with the compiled form that is to be served, made if need be; without one where it is not wanted.

        Raises RegistryError where the model's tags cannot be read, OSError where the disk cannot be written.
        """
        none = replace(finding, compiled="", said="", tools="")
        if not self._is_candidate(folder_of(self._store.root, finding.digest)) or not self._is_wanted(version):
            return none
        if not self._tools:
            self._record(version, _NO_TOOLS)
            return none
        if finding.said and finding.tools == self._tools and self._is_whole(finding.compiled):
            self._record(version, finding.said)
            return finding
        made = self._compile(finding.digest, version.name)
        self._log.info("version_compiled" if made.digest else "version_not_compiled", **_named(version), why=made.said)
        self._record(version, made.said)
        return replace(finding, compiled=made.digest, said=made.said, tools=self._tools)

    def _is_wanted(self, version: ModelVersion) -> bool:
        """By the version's own tag and the model's; one that is malformed asks for nothing."""
        if not parse_tuning(version.tags)[0].compile:
            return False
        return parse_tuning(self._registry.model(version.name).tags)[0].compile

    def _is_whole(self, digest: str) -> bool:
        if not digest:
            return True
        try:
            verify(folder_of(self._store.root, digest), digest)
        except (ArtifactError, OSError) as error:
            self._log.warning("stored_files_damaged", digest=digest, why=str(error))
            self._store.discard(digest)
            return False
        return True

    def _record(self, version: ModelVersion, said: str) -> None:
        """Once: another machine measures other times, and finds the same."""
        before = version.tags.get(names.TAG_COMPILED, "")
        if before == said or (before.startswith(MADE) and said.startswith(MADE)):
            return
        try:
            self._registry.tag_version(version.name, version.version, names.TAG_COMPILED, said)
        except RegistryError as error:
            self._log.warning("compilation_not_recorded", **_named(version), why=str(error))


def _named(version: ModelVersion) -> dict[str, str]:
    return {"model": version.name, "version": version.version}
