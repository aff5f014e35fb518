"""The lease: of all controllers of one ledger, one decides."""

import os
import socket
from typing import Protocol


class Lease(Protocol):
    """Held by one process at a time, and gone with it, however it ends."""

    @property
    def generation(self) -> int:
        """The ledger's generation that was begun with the lease; 0 while it is not held."""
        ...

    def acquire(self) -> bool:
        """Take the lease if nobody has it, and begin a generation. Never waits for the one who has it.

        True if it is held afterwards, also when it was held before. Raises LedgerUnavailable when no generation could be
        begun; the lease is free then.
        """
        ...

    def held(self) -> bool:
        """Whether it is still ours. Once it is lost this stays False until it is acquired anew, with a new generation."""
        ...

    def release(self) -> None:
        """Give it up; nothing happens where it is not held."""
        ...


def holder_name() -> str:
    """How this process is called in the ledger: machine and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"
