"""Whose doing a failure is. Rollbacks hang on it: only model_error, invalid_output and timeout count against a version."""

import traceback
from pathlib import PurePath
from typing import Final

from stagedoor.errors import InvalidOutput, ModelFailed, Overloaded, PredictionTimeout, Rejected, Unserved
from stagedoor.problems import code_of

__all__ = ["cause_of", "code_of", "outcome_of"]

OUTCOMES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (ModelFailed, "model_error"),
    (InvalidOutput, "invalid_output"),
    (PredictionTimeout, "timeout"),
    (Rejected, "client_error"),
    (Unserved, "overload"),
)


def outcome_of(error: Exception) -> str:
    """The blame class of a failed request."""
    for kind, outcome in OUTCOMES:
        if isinstance(error, kind):
            return outcome
    return "internal_error"


def cause_of(error: Exception) -> str | None:
    """Type and place of what lies beneath a server-side failure.

    Without its message, which may quote the caller's data.
    """
    if isinstance(error, Rejected | Overloaded):
        return None
    cause = error.__cause__ or error
    frames = traceback.extract_tb(cause.__traceback__)
    where = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(cause).__name__}{where}"
