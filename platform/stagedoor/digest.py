"""The digest of a version's files, the same in both planes and in the tag `stagedoor.sha256`.

It is the SHA-256 of a manifest with one line per file, `<path as JSON> <size> <SHA-256>`, sorted by path.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stagedoor.errors import MissingArtifact, UnsafeArtifact

_CHUNK: Final = 1024 * 1024


def digest_of(folder: Path) -> str:
    """The digest of all files below `folder`. Raises UnsafeArtifact for links and special files, MissingArtifact for none."""
    manifest = hashlib.sha256()
    lines = 0
    for path, name in sorted((path, path.relative_to(folder).as_posix()) for path in _files(folder)):
        size, digest = _hash(path)
        manifest.update(f"{json.dumps(name)} {size} {digest}\n".encode())
        lines += 1
    if not lines:
        raise MissingArtifact("The version has no files. Log the model again.")
    return manifest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from _files(Path(entry.path))
            elif stat.S_ISREG(mode):
                yield Path(entry.path)
            else:
                raise UnsafeArtifact("The version holds a link or special file. Log the model with plain files only.")


def _hash(path: Path) -> tuple[int, str]:
    # O_NOFOLLOW: the entry may have become a link since it was listed.
    digest = hashlib.sha256()
    size = 0
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()
