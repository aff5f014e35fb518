"""How much memory a process uses of its own."""

from pathlib import Path
from typing import Final

_FIELD: Final = b"RssAnon:"


def anonymous_bytes(pid: int | str = "self") -> int:
    """Resident memory of `pid` that no file backs, in bytes; 0 if the process is gone or the system cannot tell (not Linux)."""
    try:
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith(_FIELD):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return 0
    return 0
