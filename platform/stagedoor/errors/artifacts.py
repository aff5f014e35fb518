"""Versions that must not serve."""

from stagedoor.errors.base import StagedoorError


class ArtifactError(StagedoorError):
    """A version that must not serve. `reason` is one sentence for people, free of machine paths."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class MissingArtifact(ArtifactError):
    """A file that the MLmodel file names, or the MLmodel file itself, is not there."""


class TamperedArtifact(ArtifactError):
    """The bytes are not those whose digest was recorded."""


class UnsafeArtifact(ArtifactError):
    """A link or path in the artifact leads outside its own folder."""


class UnsupportedFlavor(ArtifactError):
    """There is no loader for what the MLmodel file declares."""


class LoadFailed(ArtifactError):
    """The loader raised, or the loading process died."""


class LoadTimeout(ArtifactError):
    """Loading took longer than allowed."""


class OverBudget(ArtifactError):
    """The version needs more memory than the budget has."""
