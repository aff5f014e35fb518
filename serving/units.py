"""Which callers of an experiment have been counted: one bit each, shared by all workers of a machine.

The unit randomised has to be the unit counted: of a sticky caller, only the first outcome is evidence. A bit is set by the low
bits of the unit's keyed hash, which say nothing of its arm. Two units may share a bit; the second is then left out, in either
arm alike: with a million callers at most one in eight.
"""

import contextlib
import fcntl
import hashlib
import mmap
import os
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final, Protocol

BITS: Final = 1 << 23
"""One MiB to an experiment; a file that nobody has set bits in takes no disk."""

MAX_AGE_SECONDS: Final = 14 * 86_400.0
OPEN_AT_ONCE: Final = 32
_TOUCH_SECONDS: Final = 3600.0
_LOCK_TRIES: Final = 20
_SUFFIX: Final = ".bits"


class FirstOutcomes(Protocol):
    """Remembers units."""

    def is_first(self, model: str, salt: bytes, unit: int) -> bool:
        """Whether `unit` (64 bits) is new to the experiment of `model` with `salt`; from now on it is not."""


class UnitBook:
    """Bitmaps in `folder`, one file for each experiment. For one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[tuple[str, bytes], _Bitmap] = OrderedDict()

    def is_first(self, model: str, salt: bytes, unit: int) -> bool:
        """As FirstOutcomes has it. Where the file cannot be had, no unit is: evidence may be missing, never doubled."""
        try:
            return self._bitmap(model, salt).set(unit % BITS)
        except OSError:
            return False

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1].close()

    def _bitmap(self, model: str, salt: bytes) -> "_Bitmap":
        found = self._open.get((model, salt))
        if found is not None:
            self._open.move_to_end((model, salt))
            return found
        path = self._folder / (hashlib.blake2b(model.encode(), digest_size=16, key=salt).hexdigest() + _SUFFIX)
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            sweep(self._folder, time.time())
        made = self._open[model, salt] = _Bitmap(path)
        if len(self._open) > OPEN_AT_ONCE:
            self._open.popitem(last=False)[1].close()
        return made


class _Bitmap:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(self._file, BITS // 8)
            self._bits = mmap.mmap(self._file, BITS // 8)
        except (OSError, ValueError):
            os.close(self._file)
            raise
        self._touched = 0.0

    def set(self, bit: int) -> bool:
        """Set a bit; whether it was not. Exact between processes but for a lock that cannot be had within 20 ms."""
        place, mask = bit >> 3, 1 << (bit & 7)
        if self._bits[place] & mask:
            return False
        locked = self._lock()
        try:
            if self._bits[place] & mask:
                return False
            self._bits[place] |= mask
        finally:
            if locked:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        self._touch()
        return True

    def _lock(self) -> bool:
        for _ in range(_LOCK_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(0.001)
        return False

    def _touch(self) -> None:
        """Writing to mapped memory does not show in the file's time, by which it is kept."""
        now = time.monotonic()
        if not self._touched or now - self._touched > _TOUCH_SECONDS:
            self._touched = now
            os.utime(self._file)

    def close(self) -> None:
        self._bits.close()
        os.close(self._file)


def sweep(folder: Path, now: float) -> None:
    """Remove the bitmaps of experiments that have seen no new unit for two weeks."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if now - path.stat().st_mtime > MAX_AGE_SECONDS:
                path.unlink()
