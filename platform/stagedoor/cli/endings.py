"""How a rollout ended, read from the controller's account of a model. Pure, with the exit codes that go with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

Json = Mapping[str, Any]

EXIT_TURNED_BACK: Final = 3
EXIT_UNDECIDED: Final = 4

GOOD: Final = frozenset({"promoted", "returned"})
SAID: Final = {
    "promoted": "promoted",
    "returned": "live again",
    "rolled_back": "rolled back",
    "refused": "refused",
    "aborted": "aborted",
    "drilled": "drilled",
}


class TurnedBack(click.ClickException):
    """A gate refused the version, or it was rolled back."""

    exit_code = EXIT_TURNED_BACK


class Undecided(click.ClickException):
    """Time ran out first. The rollout goes on."""

    exit_code = EXIT_UNDECIDED


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a version, and why."""

    outcome: str
    version: str
    reason: str
    at: float

    @property
    def good(self) -> bool:
        """Whether the version is live."""
        return self.outcome in GOOD

    def __str__(self) -> str:
        words = (
            f"Version {self.version} was {SAID.get(self.outcome, self.outcome)}"
            if self.outcome != "returned"
            else (f"Version {self.version} is live again")
        )
        return f"{words}: {self.reason.rstrip('.')}." if self.reason else f"{words}."


def ending_of(model: Json, version: str, asked_at: float) -> Ending | None:
    """How the rollout of `version` that was asked for at `asked_at` ended; None while it is open.

    Both times are the controller's own. An ending before `asked_at` is another rollout's.
    """
    last = model.get("last") or {}
    if last.get("version") == version and (last.get("at") or 0.0) >= asked_at:
        return Ending(str(last.get("outcome")), version, str(last.get("reason") or ""), float(last["at"]))
    if model.get("stable") == version and not model.get("candidate"):
        return Ending("promoted", version, "it is the live version", asked_at)
    return None


def progress_of(model: Json) -> str:
    """One line about where the rollout stands."""
    phase = str(model.get("phase", "unknown"))
    parts = [f"{model.get('model')}: {phase}"]
    if model.get("candidate"):
        parts[0] += f", version {model['candidate']}"
    if model.get("weight") is not None and model.get("candidate"):
        parts.append(f"{model['weight'] / 100:g} %")
    if model.get("waiting_for"):
        parts.append(f"waits for {model['waiting_for']}")
    parts += [f"problem: {problem}" for problem in model.get("problems") or ()]
    return "; ".join(parts)
