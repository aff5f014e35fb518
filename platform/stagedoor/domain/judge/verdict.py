"""What a judge says, and the bounds that all judges share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from stagedoor.domain.evidence import Counts
from stagedoor.domain.strategy import Rules

Kind = Literal["promote", "roll_back", "hold", "freeze"]

FUSE: Final = 5
"""So many first outcomes in a row, all failed, need no statistics."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One word, one sentence with the numbers behind it, and the numbers themselves (all finite).

    `freeze`: the evidence itself cannot be trusted, so that neither end may be drawn from it.
    """

    kind: Kind
    reason: str
    numbers: Mapping[str, float]


def blown(candidate: Counts, stable: Counts) -> bool:
    """Whether nothing but failures came from the candidate from its first outcome on, while the stable arm does answer.

    A fuse beside the error bound, not within it. If most of the stable arm's outcomes fail as well, the fault is elsewhere.
    """
    return candidate.ok == 0 and candidate.failed >= FUSE and stable.failed <= stable.ok


def blown_reason(candidate: Counts) -> str:
    """The sentence for it."""
    return f"All of the candidate's first {candidate.failed} outcomes failed."


def lacking(outcomes: int, bad: int, rules: Rules) -> str | None:
    """What is still missing of the least evidence for a rollback, if anything is. `bad`: failed or slow, the greater."""
    if outcomes < rules.min_outcomes:
        return f"{rules.min_outcomes - outcomes} more outcomes of the candidate"
    if bad < rules.min_failures:
        return f"{rules.min_failures - bad} more failed or slow outcomes of the candidate"
    return None


def e_text(value: float) -> str:
    """An e-value for people."""
    return f"{value:.3g}"
