"""Which decisions people are told of."""

from collections.abc import Callable
from typing import Final

from registry_hooks.notifiers import Notice
from stagedoor.domain.rollout.steps import Decision

TOLD: Final = frozenset(
    {"started", "promoted", "rolled_back", "refused", "aborted", "returned", "withdrawn", "adopted", "drill_ended"}
)


def announcing(announce: Callable[[Notice], None]) -> Callable[[Decision, float], None]:
    """What the controller calls after each decision. It never waits: `announce` takes the notice and returns."""

    def tell(decision: Decision, now: float) -> None:
        if decision.kind in TOLD:
            version = decision.to_version if decision.kind in {"started", "promoted", "returned"} else decision.from_version
            version = version or decision.to_version or ""
            announce(Notice(decision.state.model, version, decision.kind, decision.reason, now, decision.who))

    return tell
