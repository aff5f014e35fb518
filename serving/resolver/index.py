"""What this machine found out about versions it has fetched, so that a restart fetches and probes nothing."""

import threading
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from serving.snapshot_file import replace_file
from stagedoor.domain.intent import ModelVersion


@dataclass(frozen=True, slots=True)
class Finding:
    """The digest of a version's files, and what its probe reported."""

    digest: str
    flavor: str
    memory_bytes: int


class Index:
    """Findings by (name, version, source), in one file that is replaced as a whole. A damaged file counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._findings = _load(path)

    def get(self, version: ModelVersion) -> Finding | None:
        """What was found, if these very files were fetched before."""
        with self._lock:
            return self._findings.get(_key(version))

    def put(self, version: ModelVersion, finding: Finding) -> None:
        """Remember it beyond a restart."""
        with self._lock:
            self._findings[_key(version)] = finding
            self._save()

    def forget(self, digests: Collection[str]) -> None:
        """Drop all findings about files that are no longer here."""
        with self._lock:
            self._findings = {key: found for key, found in self._findings.items() if found.digest not in digests}
            self._save()

    def _save(self) -> None:
        replace_file(self._path, orjson.dumps([[*key, asdict(found)] for key, found in self._findings.items()]))


def _key(version: ModelVersion) -> tuple[str, str, str]:
    return version.name, version.version, version.source


def _load(path: Path) -> dict[tuple[str, str, str], Finding]:
    try:
        rows = orjson.loads(path.read_bytes())
        return {(name, version, source): Finding(**found) for name, version, source, found in rows}
    except (OSError, ValueError, TypeError):
        return {}
