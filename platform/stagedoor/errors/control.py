"""Why the control plane cannot go on."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from stagedoor.errors.base import StagedoorError


class ControlError(StagedoorError):
    """The control plane cannot go on just now. What is live stays live; `reason` is one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class LedgerUnavailable(ControlError):
    """The ledger's database gives no answer, or a failing one."""


class LedgerTampered(ControlError):
    """A row of the ledger does not fit its hash, or the one before it."""


class LeaseLost(ControlError):
    """Another controller holds a newer lease: nothing that this one decided may be carried out."""


class EvidenceUnavailable(ControlError):
    """Not every gateway, or not Prometheus, could tell how the versions do.

    `partial` is what is known nevertheless: evidence to roll back on, never to promote on.
    """

    def __init__(self, reason: str, partial: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(reason)
        self.partial = partial
