"""What MLflow could not tell, or did not take."""

from stagedoor.errors.base import StagedoorError


class RegistryError(StagedoorError):
    """MLflow could not tell. Nothing that is live changes because of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class RegistryUnavailable(RegistryError):
    """No answer, or a 5xx."""


class RegistryGarbled(RegistryError):
    """An answer that is not what MLflow answers."""


class RegistryDenied(RegistryError):
    """401 or 403: our token does not do."""


class RegistryNotFound(RegistryError):
    """MLflow itself says, in its own words, that there is no such thing."""


class RegistryConflict(RegistryError):
    """Somebody else changed it in between. Theirs stands."""
