"""The gates as the controller asks them: what they find, in the words of the plan."""

from collections.abc import Mapping
from typing import Any, Final

from registry_hooks.gates import Gatehouse
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.rollout import Finding

RECORD: Final = "record_sha256"
"""Evidence that asks the plan to record a digest on the version."""


class Gating:
    """A gatehouse that answers with findings."""

    def __init__(self, house: Gatehouse) -> None:
        self._house = house

    def check(self, model: RegisteredModel, candidate: str, live: str | None, who: str) -> tuple[Finding, ...]:
        """See Gatehouse.check."""
        found = self._house.check(model, candidate, live, who)
        return tuple(Finding(one.gate, one.result.outcome, one.result.reason, _evidence(one.result.evidence)) for one in found)

    def close(self) -> None:
        """End what examines."""
        self._house.close()


def _evidence(evidence: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(evidence)
    if found.get("recorded") is False and "sha256" in found:
        found[RECORD] = found["sha256"]
    return found
