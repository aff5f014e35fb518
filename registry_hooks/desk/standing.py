"""Where one model stands when a command comes in, and which commands contradict that. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stagedoor import names
from stagedoor.domain.intent import Author, RegisteredModel

UNDER_WAY: Final = frozenset({"gating", "canary", "shadow", "rolling", "baking", "paused", "held", "frozen", "drill"})
"""Phases in which a candidate is on its way."""

TAKEN_BACK: Final = frozenset({"rolled_back", "aborted", "returned"})
JUST_SECONDS: Final = 60.0
"""After a version was taken back, so long a further step back has to name its goal."""


@dataclass(frozen=True, slots=True)
class Standing:
    """`stable` is live; `candidate` is on its way in `phase`; `wanted` is what alias or stage ask for, `who` since when.

    `by_stage` says that the model has no champion, and the stage Production counts.
    """

    model: str
    stable: str | None
    candidate: str | None
    phase: str
    wanted: str | None
    by_stage: bool
    who: str

    @property
    def under_way(self) -> str | None:
        """The version of a running rollout, or one that is asked for and has not been looked at yet."""
        if self.candidate is not None and self.phase in UNDER_WAY:
            return self.candidate
        seen = self.phase != "unknown"
        return self.wanted if seen and self.phase != "refused" and self.wanted not in {None, self.stable} else None


def standing(model: RegisteredModel, shown: Mapping[str, Any] | None) -> Standing:
    """Put together what the registry asks for and what the board shows; without a row on the board the phase is unknown."""
    row = shown or {}
    wanted = model.aliases.get(names.CHAMPION)
    by_stage = wanted is None and names.PRODUCTION in model.stages
    return Standing(
        model.name,
        row.get("stable"),
        row.get("candidate"),
        str(row.get("phase", "unknown")),
        model.stages[names.PRODUCTION] if by_stage else wanted,
        by_stage,
        str(row.get("who") or ""),
    )


def against_promotion(now: Standing, version: str, strategy: str | None, tag: str | None) -> str | None:
    """Why `version` cannot be promoted now, in a sentence; None if it can. `tag` is the strategy in force."""
    other = now.under_way
    if other is not None and other != version:
        return (
            f"Version {other} is on its way (phase {now.phase}). Wait for its end, `stagedoor abort` it, "
            "or `stagedoor rollback` first."
        )
    if other == version and strategy is not None and strategy != tag:
        return f"Version {version} is already on its way with another strategy. Abort it first, or leave the strategy out."
    return None


def just_ended(shown: Mapping[str, Any] | None, now: float) -> str | None:
    """Why going back further would hardly be meant now, in a sentence; None if it may be."""
    last = (shown or {}).get("last") or {}
    if last.get("outcome") not in TAKEN_BACK or now - float(last.get("at") or 0.0) > JUST_SECONDS:
        return None
    return (
        f"A rollout ended so only a moment ago, and version {(shown or {}).get('stable')} is live. "
        "To go back further, name the version with --to."
    )


def promoters_of(model: RegisteredModel, shown: Mapping[str, Any] | None, version: str) -> frozenset[str]:
    """Who pointed an alias or stage at `version` last, as far as anybody recorded it."""
    authors = [Author.read(text) for key, text in model.tags.items() if key.startswith(names.TAG_BY_PREFIX)]
    found = {author.subject for author in authors if author is not None and author.version == version}
    if shown and shown.get("candidate") == version and shown.get("who"):
        found.add(str(shown["who"]))
    return frozenset(found)
