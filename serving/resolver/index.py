"""What this machine found out about versions it has fetched, so that a restart fetches and probes nothing."""

import threading
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from serving.snapshot_file import replace_file
from stagedoor.domain.intent import ModelVersion


@dataclass(frozen=True, slots=True)
class Finding:
    """The digest of a version's files, and what its probe reported.

    `compiled` is the digest of its compiled form, "" if there is none; `said` is the sentence about it, "" if nobody has tried,
    and `tools` are the converters that it comes from: others are worth another try.
    """

    digest: str
    flavor: str
    memory_bytes: int
    compiled: str = ""
    said: str = ""
    tools: str = ""


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
            self._findings = {
                key: replace(found, compiled="", said="", tools="") if found.compiled in digests else found
                for key, found in self._findings.items()
                if found.digest not in digests
            }
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
