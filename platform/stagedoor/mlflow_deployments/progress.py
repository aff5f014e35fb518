"""What the controller's view of a model means for one who waits. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

SETTLING_LOOKS: Final = 5
"""Looks of the controller after the command, in which it may still not have seen it."""
UNDER_WAY: Final = frozenset({"gating", "canary", "shadow", "rolling", "baking", "paused", "held", "frozen"})

GOOD: Final = frozenset({"promoted", "returned"})
"""Endings after which the version is live; `returned` is one that was live a short while ago, and is so again."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """`going` on, `done`, or `failed`; `text` is one line for people. `share` is the candidate's part of traffic, 0 to 1.

    `stage` changes less often than the text: with the phase and the share, not with each request.
    """

    state: Literal["going", "done", "failed"]
    text: str
    share: float = 0.0
    stage: str = ""


def of_promotion(row: Row, version: str, asked_at: float, looks: int) -> Progress:
    """How far `version` has come since `asked_at`; `looks` counts how often the controller has looked since then."""
    last = _ended_since(row, asked_at)
    if last is not None and last.get("version") == version and last.get("outcome") not in GOOD:
        return Progress("failed", _ending(row, last))
    if row.get("phase") in UNDER_WAY:
        return _under_way(row, version, looks)
    if row.get("stable") == version:
        return Progress("done", f"Version {version} is live.", 1.0)
    if looks <= SETTLING_LOOKS:
        return Progress("going", "Waiting for the controller to look.")
    return Progress("failed", _standstill(row, version))


def of_split(row: Row, asked_at: float, looks: int) -> Progress:
    """Whether a split by hand is in force, or its end."""
    last = _ended_since(row, asked_at)
    if last is not None and last.get("outcome") == "refused":
        return Progress("failed", _ending(row, last))
    if row.get("phase") == "gating" or looks <= SETTLING_LOOKS:
        return Progress("going", _waiting(row) or "Waiting for the controller to look.")
    problems = " ".join(map(str, row.get("problems") or ()))
    return Progress("failed", problems) if problems else Progress("done", "The split is in force.", 1.0)


def of_removal(row: Row, _asked_at: float, looks: int) -> Progress:
    """Whether nothing is live any more."""
    if row.get("stable") is None and row.get("phase") not in UNDER_WAY and looks:
        return Progress("done", "Nothing is live any more.", 1.0)
    return Progress("going", "Waiting for the controller to take it out of service.")


def _ended_since(row: Row, asked_at: float) -> Row | None:
    last = row.get("last")
    return last if isinstance(last, Mapping) and float(last.get("at") or 0) >= asked_at else None


def _under_way(row: Row, version: str, looks: int) -> Progress:
    candidate, phase = row.get("candidate"), row.get("phase")
    if candidate not in {None, version}:
        if looks <= SETTLING_LOOKS:
            return Progress("going", "Waiting for the controller to look.")
        return Progress("failed", f"Version {candidate} is on its way instead of {version}: somebody else has promoted it.")
    weight = (row.get("weight") or 0) / 10_000
    stage = f"Version {version}: {phase}{f' at {weight:.2%} of the traffic' if weight else ''}."
    return Progress("going", f"{stage} {_waiting(row)}".strip(), weight, stage)


def _waiting(row: Row) -> str:
    found = str(row.get("waiting_for") or "").rstrip(".")
    return f"Waiting for {found}." if found else ""


def _ending(row: Row, last: Row) -> str:
    outcome = str(last.get("outcome", "ended")).replace("_", " ")
    reason = str(last.get("reason") or "")
    failed = [
        f"Gate {gate.get('gate')}: {gate.get('outcome')}, {gate.get('reason')}"
        for gate in row.get("gates") or ()
        if gate.get("outcome") in {"fail", "error"}
        and last.get("outcome") == "refused"
        and str(gate.get("reason")) not in reason
    ]
    return "\n".join([f"Version {last.get('version')} was {outcome}: {reason}", *failed])


def _standstill(row: Row, version: str) -> str:
    problems = " ".join(map(str, row.get("problems") or ()))
    stable = row.get("stable")
    live = f"version {stable} is live" if stable else "nothing is live"
    return f"Version {version} is not on its way and {live}. {problems or '`stagedoor status` says more.'}"
