"""Examinations that went well, on disk: a controller that asks again, or starts again, need not fetch and try anew."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from registry_hooks.gates.examination import Examination

MOST: Final = 500


def key_of(*parts: object) -> str:
    """A name for the record of an examination: of this version, asked in this way."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Records:
    """At most 500 reports in a folder, the oldest gone first. A folder that cannot be used costs time, nothing else."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: str) -> Examination | None:
        """The examination of that key, None if there is none that can be read."""
        try:
            return Examination.read(json.loads((self._root / f"{key}.json").read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, key: str, report: Mapping[str, Any]) -> None:
        """Keep a report, replacing that of the same key as a whole."""
        with contextlib.suppress(OSError):
            self._root.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._root)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(report, file)
                Path(name).replace(self._root / f"{key}.json")
            except OSError:
                Path(name).unlink(missing_ok=True)
            self._forget()

    def _forget(self) -> None:
        records = sorted(self._root.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in records[: max(len(records) - MOST, 0)]:
            path.unlink(missing_ok=True)
