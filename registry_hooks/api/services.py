"""What the app is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from registry_hooks.desk import Desk
from stagedoor.auth import Principal
from stagedoor.settings import Settings


class Authenticator(Protocol):
    """Tells who sent a request."""

    def authenticate(self, authorization: str | None, *, now: float, remote: str = "") -> Principal:
        """The sender. Raises TokenInvalid, TokenExpired and TooManyAttempts."""


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses told to everybody who asks where things are; None for what is not there."""

    controller: str | None = None
    gateway: str | None = None
    mlflow: str | None = None


def _nothing() -> None:
    """Nobody to wake."""


def _always() -> Sequence[str]:
    """Nothing is missing."""
    return ()


@dataclass(frozen=True, slots=True)
class Services:
    """The parts behind the views; all are called from several threads at once.

    `wake` makes the controller look at the registry at once. `accept_webhook` is given a webhook's headers (names in
    lower case), body and the time; it raises TokenInvalid for one that MLflow did not sign, and tells whether it is new. None
    refuses all. `missing` says why the controller is not ready.
    """

    settings: Settings
    authenticator: Authenticator
    desk: Desk
    places: Places = Places()
    wake: Callable[[], None] = _nothing
    accept_webhook: Callable[[Mapping[str, str], bytes, float], bool] | None = None
    missing: Callable[[], Sequence[str]] = _always
