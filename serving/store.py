"""Model files by content: `store/<digest>/` holds one version's files, read-only, under the SHA-256 of all of them.

See `stagedoor.digest` for what is hashed.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from stagedoor.digest import digest_of
from stagedoor.errors import ArtifactError, MissingArtifact, TamperedArtifact
from stagedoor.telemetry import get_logger

_INCOMING: Final = ".incoming-"
_ABANDONED_AFTER: Final = 60.0
_FILE_MODE: Final = 0o444
_FOLDER_MODE: Final = 0o555


def folder_of(store: Path, digest: str) -> Path:
    """Where the files with this digest lie, or would lie."""
    return store / digest


def verify(folder: Path, digest: str) -> None:
    """Read every byte and compare.

    Raises MissingArtifact if the folder is not there, UnsafeArtifact if it holds links or special files,
    TamperedArtifact if the bytes are not those of `digest`.
    """
    if not folder.is_dir():
        raise MissingArtifact("The version's files are not in the store of this machine. They will be fetched again.")
    if digest_of(folder) != digest:
        raise TamperedArtifact("The version's files are not those whose digest was recorded. Register the model again.")


class Store:
    """The store of one machine. Several processes may add to it at once; one of them evicts."""

    def __init__(self, root: Path, budget_bytes: int) -> None:
        self.root = root
        self._budget = budget_bytes
        self._log = get_logger()
        root.mkdir(parents=True, exist_ok=True)

    def ingest(self, fetch: Callable[[Path], None]) -> str:
        """Let `fetch` fill a new folder, check and hash it, and make it part of the store; return its digest.

        Raises what `fetch` raises, UnsafeArtifact and MissingArtifact. After any error, and after a crash once
        `clean` has run, nothing of it is left.
        """
        incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.root))
        try:
            with _locked(incoming):
                files = incoming / "files"
                files.mkdir()
                fetch(files)
                digest = digest_of(files)
                _protect(files)
                self._adopt(files, folder_of(self.root, digest))
            return digest
        finally:
            _remove(incoming)

    def has(self, digest: str) -> bool:
        """Whether the files are here; `verify` says whether they are whole."""
        return bool(digest) and folder_of(self.root, digest).is_dir()

    def check(self, digest: str) -> bool:
        """Whether the files are here and whole, every byte of them read. What is damaged is thrown away, to be had anew."""
        if not digest:
            return False
        try:
            verify(folder_of(self.root, digest), digest)
        except (ArtifactError, OSError) as error:
            self._log.warning("stored_files_damaged", digest=digest, why=str(error))
            self.discard(digest)
            return False
        return True

    def discard(self, digest: str) -> None:
        """Throw files away, because they are damaged."""
        _remove(folder_of(self.root, digest))

    def clean(self) -> None:
        """Remove what crashed processes left half fetched; what another process is fetching stays."""
        for folder in self.root.glob(f"{_INCOMING}*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER and _is_free(folder):
                    _remove(folder)

    def evict(self, keep: frozenset[str]) -> frozenset[str]:
        """Remove the least recently used files until the rest fits the budget; return what went. Never one in `keep`."""
        sizes = {path.name: _size(path) for path in self.root.iterdir() if path.is_dir() and not path.name.startswith(".")}
        for digest in keep & sizes.keys():
            os.utime(folder_of(self.root, digest))
        spare = sorted(sizes.keys() - keep, key=lambda digest: folder_of(self.root, digest).stat().st_mtime)
        total = sum(sizes.values())
        gone = set()
        for digest in spare:
            if total <= self._budget:
                break
            self.discard(digest)
            total -= sizes[digest]
            gone.add(digest)
        return frozenset(gone)

    def _adopt(self, files: Path, folder: Path) -> None:
        try:
            files.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            return  # another process was quicker, with the same bytes
        folder.chmod(_FOLDER_MODE)
        _sync(self.root)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_free(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _protect(folder: Path) -> None:
    """Make all below read-only. The folder itself stays writable: renaming it to another parent needs that."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)


def _remove(folder: Path) -> None:
    """Remove a folder, read-only ones included."""
    with contextlib.suppress(FileNotFoundError):
        for path in (folder, *folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
