"""Copies of versions under examination: `<root>/<digest>/`, of bounded size, the least recently used gone first.

Nothing is served from here; gateways fetch for themselves, and hold what they get against the recorded digest.
"""

import contextlib
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from stagedoor.digest import digest_of

_INCOMING: Final = ".incoming-"


class Versions:
    """The copies of one controller. Safe to use from several threads; two processes must not share a folder."""

    def __init__(self, root: Path, budget_bytes: int) -> None:
        self._root = root
        self._budget = budget_bytes
        self._used: Counter[str] = Counter()
        self._lock = threading.Lock()
        with contextlib.suppress(OSError):  # told by the first fetch, if it is still so
            for left in root.glob(f"{_INCOMING}*"):  # by a controller that was killed
                shutil.rmtree(left, ignore_errors=True)

    def has(self, digest: str) -> bool:
        """Whether there is a copy."""
        return bool(digest) and (self._root / digest).is_dir()

    @contextlib.contextmanager
    def fetched(self, fetch: Callable[[Path], None]) -> Iterator[tuple[str, Path]]:
        """Let `fetch` fill a new folder; gives its digest and where it lies, there until the end of the block.

        Raises what `fetch` raises, UnsafeArtifact for links and special files, MissingArtifact for no files, OSError.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self._root))
        try:
            files = incoming / "files"
            files.mkdir()
            fetch(files)
            digest = digest_of(files)
            with self._lock:
                folder = self._root / digest
                if not folder.is_dir():
                    files.rename(folder)
                self._used[digest] += 1
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        with self._released(digest):
            yield digest, folder

    @contextlib.contextmanager
    def kept(self, digest: str) -> Iterator[Path | None]:
        """The copy of `digest`, there until the end of the block; None if there is none."""
        with self._lock:
            there = self.has(digest)
            self._used[digest] += there
        if not there:
            yield None
            return
        with self._released(digest):
            yield self._root / digest

    def discard(self, digest: str) -> None:
        """Remove a copy that turned out to be damaged."""
        shutil.rmtree(self._root / digest, ignore_errors=True)

    @contextlib.contextmanager
    def _released(self, digest: str) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._used[digest] -= 1
                with contextlib.suppress(OSError):
                    os.utime(self._root / digest)
                    self._evict()

    def _evict(self) -> None:
        folders = [path for path in self._root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        sizes = {path: sum(file.lstat().st_size for file in path.rglob("*")) for path in folders}
        total = sum(sizes.values())
        for path in sorted(folders, key=lambda path: path.stat().st_mtime):
            if total <= self._budget:
                return
            if self._used[path.name] <= 0:
                shutil.rmtree(path, ignore_errors=True)
                total -= sizes[path]
