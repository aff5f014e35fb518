"""The folder in which gateway workers ask for versions that no alias names."""

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from serving.resolver.schedule import Key
from serving.snapshot_file import read_demand
from stagedoor.domain.refs import check_name, check_version
from stagedoor.errors import MalformedName

LOOK_AGAIN_AFTER: Final = 5.0


class DemandFolder:
    """Reads the folder when it changes, and every five seconds for renewed demands, which change no folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Key | None] = {}
        self._made: dict[Key, float] = {}
        self._stamp = -1
        self._looked_at = float("-inf")

    def look(self, now: float) -> dict[Key, float] | None:
        """When each demand was last made, or None if there is nothing new to see."""
        try:
            stamp = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if stamp == self._stamp and now - self._looked_at < LOOK_AGAIN_AFTER:
            return None
        # Within the clock's step a file may come after this look without a new stamp: such a stamp is not trusted.
        self._stamp = stamp if now - stamp / 1e9 > 0.05 else -1  # noqa: PLR2004  seconds, a few steps of the clock
        self._looked_at = now
        self._made = self._scan()
        return dict(self._made)

    def keep(self, keys: Collection[Key]) -> None:
        """Remove the files of all other demands."""
        for name, key in list(self._files.items()):
            if key not in keys:
                with contextlib.suppress(FileNotFoundError):
                    (self._folder / name).unlink()
                del self._files[name]

    def _scan(self) -> dict[Key, float]:
        made: dict[Key, float] = {}
        files: dict[str, Key | None] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not entry.name.endswith(".json"):
                    continue
                key = self._files[entry.name] if entry.name in self._files else _checked(Path(entry.path))
                files[entry.name] = key
                with contextlib.suppress(FileNotFoundError):
                    if key is not None:
                        made[key] = entry.stat().st_mtime
        self._files = files
        return made


def _checked(path: Path) -> Key | None:
    demand = read_demand(path)
    try:
        return (check_name(demand[0]), check_version(demand[1])) if demand else None
    except MalformedName:
        return None
