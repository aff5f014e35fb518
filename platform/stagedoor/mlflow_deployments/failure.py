"""The one exception that leaves the plugin: MLflow's for programs, a sentence without a stack trace for people."""

from http import HTTPStatus
from typing import Final

from click import ClickException
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    ABORTED,
    DEADLINE_EXCEEDED,
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    INVALID_STATE,
    PERMISSION_DENIED,
    RESOURCE_CONFLICT,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
    UNAUTHENTICATED,
)

__all__ = [
    "ABORTED",
    "DEADLINE_EXCEEDED",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_DOES_NOT_EXIST",
    "TEMPORARILY_UNAVAILABLE",
    "DeploymentFailed",
    "code_for",
]

_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: RESOURCE_DOES_NOT_EXIST,
    HTTPStatus.CONFLICT: RESOURCE_CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS: TEMPORARILY_UNAVAILABLE,
    HTTPStatus.BAD_GATEWAY: TEMPORARILY_UNAVAILABLE,
    HTTPStatus.SERVICE_UNAVAILABLE: TEMPORARILY_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: DEADLINE_EXCEEDED,
}


_EXIT_CODES: Final[dict[int, int]] = {ABORTED: 3, DEADLINE_EXCEEDED: 4}
"""As the stagedoor command has it: 3 for a version that was turned back, 4 where time ran out first."""


class DeploymentFailed(MlflowException, ClickException):  # type: ignore[misc]  # both define `message`, alike
    """Says what went wrong and what to do next. The mlflow command prints it and ends with an exit code that is not 0."""

    def __init__(self, message: str, error_code: int = INVALID_PARAMETER_VALUE) -> None:
        super().__init__(message, error_code=error_code)
        self.exit_code = _EXIT_CODES.get(error_code, 1)  # type: ignore[misc]  # click's own way, by class


def code_for(status: int) -> int:
    """MLflow's error code for an answer of Stagedoor with this HTTP status."""
    if status in _CODES:
        return _CODES[HTTPStatus(status)]
    return INTERNAL_ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else INVALID_PARAMETER_VALUE
