"""What the ledger holds: a decision as it is handed in, and the row that became of it. Pure values and their hash."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FORMAT: Final = 1
"""Part of what is hashed: a later form of rows gets another number."""
GENESIS: Final = "0" * 64
"""The hash before the first row."""

Json = Any
"""A value of JSON: None, bool, int, float, str, list, dict."""

COLUMNS: Final = (
    "seq",
    "key",
    "at",
    "model",
    "kind",
    "who",
    "from_version",
    "to_version",
    "epoch",
    "reason",
    "evidence",
    "state",
    "generation",
    "previous_hash",
)
"""Every column that is hashed, `evidence` and `state` as the texts they are stored as."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision, not yet written down.

    `key` names the decision: the same key is written once, however often it is handed in. `at` is a time in seconds since
    1970, `who` the subject that wanted it, `state` the model's state after it; `state["stable"]` is the version that is live
    then. `evidence` and `state` become plain JSON at once, equal to what will be read back: numbers that JSON does not have
    turn into the texts `Infinity`, `-Infinity` and `NaN`, which `float()` reads. Raises ValueError where `at` is no time, and
    TypeError for values that are no JSON.
    """

    key: str
    at: float
    model: str
    kind: str
    who: str
    from_version: str | None
    to_version: str | None
    epoch: int
    reason: str
    evidence: Mapping[str, Json]
    state: Mapping[str, Json]

    def __post_init__(self) -> None:
        if not math.isfinite(self.at):
            raise ValueError("an entry's time is a number of seconds since 1970")
        object.__setattr__(self, "at", float(self.at) + 0.0)  # -0.0 would come back as 0.0
        for name in ("key", "model", "kind", "who", "from_version", "to_version", "reason"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else _storable(value))
        for name in ("evidence", "state"):
            object.__setattr__(self, name, _plain(dict(getattr(self, name))))


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger. `seq` counts from 1 without a gap; `hash` covers all the rest, `previous_hash` included."""

    seq: int
    key: str
    at: float
    model: str
    kind: str
    who: str
    from_version: str | None
    to_version: str | None
    epoch: int
    reason: str
    evidence: Mapping[str, Json]
    state: Mapping[str, Json]
    generation: int
    previous_hash: str
    hash: str

    def as_json(self) -> dict[str, Json]:
        """All members, for those who show it."""
        return {name: getattr(self, name) for name in (*COLUMNS, "hash")}


def row_of(draft: Draft, seq: int, generation: int, previous_hash: str) -> dict[str, Json]:
    """The columns of a new row, `hash` included."""
    row = {name: getattr(draft, name) for name in COLUMNS if name not in {"seq", "generation", "previous_hash"}}
    row |= {"evidence": canonical(draft.evidence), "state": canonical(draft.state)}
    row |= {"seq": seq, "generation": generation, "previous_hash": previous_hash}
    return row | {"hash": hash_of(row)}


def entry_of(row: Mapping[str, Json]) -> Entry:
    """Read a row that was checked: `evidence` and `state` are canonical JSON."""
    return Entry(
        **{name: row[name] for name in (*COLUMNS, "hash") if name not in {"evidence", "state"}},
        evidence=json.loads(row["evidence"]),
        state=json.loads(row["state"]),
    )


def hash_of(row: Mapping[str, Json]) -> str:
    """SHA-256, in hexadecimal digits, over the canonical JSON of the row's columns and `format`.

    Total: whatever somebody put into a column, there is a hash that does not fit it.
    """
    content = {name: row[name] for name in COLUMNS} | {"format": FORMAT}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), default=repr).encode()).hexdigest()


def canonical(value: Json) -> str:
    """One text for equal values: sorted keys, no spaces, ASCII, the shortest form of each number."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Json) -> Json:
    """Copy into what JSON has. Raises TypeError."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value).replace("inf", "Infinity").replace("nan", "NaN")
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, Mapping):
        return {_storable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError("evidence and state hold values of JSON alone")


def _storable(text: str) -> str:
    """Without what a database refuses in a text: NUL, and halves of characters."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
