"""Finding one request's line in the gateway's log, from the newest backwards."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

MIB: Final = 1024 * 1024
CHUNK: Final = MIB
MAX_BYTES: Final = 512 * MIB
"""How far back one look goes: a few million requests."""


def find_line(log: Path, request_id: str, max_bytes: int = MAX_BYTES) -> dict[str, Any] | None:
    """The newest line about a prediction with that id; None if there is none in the last `max_bytes`. Raises OSError."""
    needle = f'"request_id":{json.dumps(request_id, ensure_ascii=False)}'.encode()
    for line in backwards(log, max_bytes):
        if needle in line:
            found = _read(line)
            if found.get("request_id") == request_id and found.get("event") == "prediction":
                return found
    return None


def _read(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def backwards(log: Path, max_bytes: int) -> Iterator[bytes]:
    """The lines of the last `max_bytes` of the file, the last one first. A line cut off at the far end is left out."""
    with log.open("rb") as file:
        position = end = file.seek(0, 2)
        rest = b""
        while position > 0 and end - position < max_bytes:
            size = min(CHUNK, position)
            position -= size
            file.seek(position)
            rest, *lines = (file.read(size) + rest).split(b"\n")
            yield from reversed(lines)
        if position == 0:
            yield rest
