"""All that a decision may depend on."""

from dataclasses import dataclass

from stagedoor.domain.rollout.findings import Findings
from stagedoor.domain.rollout.intent import Intent
from stagedoor.domain.rollout.state import Rollout, State


@dataclass(frozen=True, slots=True)
class Situation:
    """One model at one moment. `now` is in seconds since 1970; within `window` seconds a former version returns at once."""

    intent: Intent
    state: State
    findings: Findings
    now: float
    window: float

    @property
    def rollout(self) -> Rollout:
        """The rollout under way; only asked for where there is one."""
        if self.state.rollout is None:
            raise ValueError("no rollout is under way")
        return self.state.rollout
