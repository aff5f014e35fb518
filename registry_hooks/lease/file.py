"""The lease of one machine: a lock on a file, which the kernel takes back when the process ends."""

import contextlib
import fcntl
import os
import threading
import weakref
from pathlib import Path
from typing import Final

from registry_hooks.lease.port import holder_name
from registry_hooks.ledger import Ledger
from stagedoor.errors import ConfigurationError


class FileLease:
    """See `Lease`. Safe for threads. A forked child does not have it, and does not keep it from being free."""

    def __init__(self, path: Path, ledger: Ledger) -> None:
        self._path = path
        self._ledger = ledger
        self._lock = threading.RLock()
        self._handle: int | None = None
        self._generation = 0
        _LEASES.add(self)

    @property
    def generation(self) -> int:
        """See `Lease`."""
        return self._generation

    def acquire(self) -> bool:
        """See `Lease`. Raises ConfigurationError where the file cannot be made."""
        with self._lock:
            if self.held():
                return True
            self._handle = self._locked()
            if self._handle is None:
                return False
            try:
                self._generation = self._ledger.begin_generation(holder_name())
            except BaseException:  # whatever it was: nobody decides without a generation, so others may try
                self.release()
                raise
            return True

    def held(self) -> bool:
        """See `Lease`: also lost when the file was removed or replaced, since another could lock the new one."""
        with self._lock:
            if self._handle is not None and not _is_at(self._handle, self._path):
                self.release()
            return self._handle is not None

    def release(self) -> None:
        """See `Lease`."""
        with self._lock:
            handle, self._handle, self._generation = self._handle, None, 0
            if handle is not None:
                os.close(handle)

    def _locked(self) -> int | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError("The state folder cannot be written. Choose another with STAGEDOOR_STATE_DIR.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError as error:
            os.close(handle)
            raise ConfigurationError("The state folder's file system has no locks. Choose another folder.") from error
        if _is_at(handle, self._path):
            return handle
        os.close(handle)
        return None

    def forget(self) -> None:
        """In a forked child: the lock belongs to the open file, which the child would keep open after its parent's death."""
        self._lock = threading.RLock()
        with contextlib.suppress(OSError):
            self.release()


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is the one that stands there now."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _forget_all() -> None:
    for lease in tuple(_LEASES):
        lease.forget()


_LEASES: Final[weakref.WeakSet[FileLease]] = weakref.WeakSet()
os.register_at_fork(after_in_child=_forget_all)
