"""What one look at a model leads to."""

from dataclasses import dataclass

from stagedoor.domain.judge import Verdict
from stagedoor.domain.rollout.steps import CheckGates, Decision


@dataclass(frozen=True, slots=True)
class Outlook:
    """A decision, or why there is none."""

    decision: Decision | None = None
    waiting_for: str | None = None
    verdict: Verdict | None = None
    checks: tuple[CheckGates, ...] = ()
    problems: tuple[str, ...] = ()
