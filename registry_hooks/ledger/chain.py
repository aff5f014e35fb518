"""Whether a ledger is what was written: pure, over its rows in the order of `seq`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from registry_hooks.ledger.entry import GENESIS, hash_of

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest row as it was at some moment: its number (0 for none) and its hash."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a ledger is as written. `rows` were sound; `first_bad` is the number of the first that is not.

    `why` says what is wrong with it, in a sentence. `head` is the hash of the newest sound row: noted elsewhere, it proves
    later that nothing up to there was rewritten, not even by somebody who can compute hashes.
    """

    rows: int
    first_bad: int | None = None
    why: str = ""
    head: str = GENESIS

    @property
    def sound(self) -> bool:
        """Whether every row is as written and none is missing."""
        return not self.why


def verify(rows: Iterable[Row], head: Mark | None, marks: Iterable[Mark] = ()) -> Verification:
    """Follow the chain up to `head`, the mark that every append moves on; `marks` are others that were set on the way."""
    expected = {mark.seq: mark.hash for mark in marks}
    last = Mark()
    for row in rows:
        why = _fault(row, last) or _off_mark(row, expected)
        if why:
            number = last.seq + 1 if _is_gap(row, last) else row["seq"]
            return Verification(last.seq, number, why, last.hash)
        last = Mark(row["seq"], row["hash"])
    return _at_the_end(last, head, expected)


def _is_gap(row: Row, last: Mark) -> bool:
    return bool(row["seq"] > last.seq + 1)


def _fault(row: Row, last: Mark) -> str:
    if _is_gap(row, last):
        return f"Row {last.seq + 1} is missing."
    if row["seq"] != last.seq + 1:
        return f"Row {row['seq']} was put in; rows count from 1."
    if hash_of(row) != row["hash"]:
        return f"Row {row['seq']} was changed after it was written."
    if row["previous_hash"] != last.hash:
        return f"Row {row['seq']} does not follow the one before it: one of the two was rewritten."
    return ""


def _off_mark(row: Row, expected: Mapping[int, str]) -> str:
    if expected.get(row["seq"], row["hash"]) != row["hash"]:
        return f"Row {row['seq']} is not the one that a controller found when it took over: the rows up to it were rewritten."
    return ""


def _at_the_end(last: Mark, head: Mark | None, expected: Mapping[int, str]) -> Verification:
    newest = max([head.seq if head else 0, *expected])
    if newest > last.seq:
        return Verification(
            last.seq, last.seq + 1, f"Row {last.seq + 1} is missing, and all after it up to {newest}.", last.hash
        )
    if head is None:
        return Verification(last.seq, None, "The record of the newest row is missing.", last.hash)
    if head.seq < last.seq:
        return Verification(head.seq, head.seq + 1, f"Row {head.seq + 1} was put in after the newest.", head.hash)
    if head.hash != last.hash:
        return Verification(last.seq, last.seq or None, f"Row {last.seq} is not the one that was written last.", last.hash)
    return Verification(last.seq, head=last.hash)
