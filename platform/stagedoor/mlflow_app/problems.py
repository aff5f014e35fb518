"""Refusals of the guard as RFC 9457 problems that MLflow's own client understands too."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from starlette.responses import Response

from stagedoor import errors

MEDIA_TYPE: Final = "application/problem+json"


class CrossSiteRequest(Exception):
    """A browser was made to send its cookie by a page that is not ours."""

    def __str__(self) -> str:
        return "A change with a session cookie must come from a page of this server. Use a bearer token from elsewhere."


class SlowBody(Exception):
    """The body did not arrive in time."""

    def __str__(self) -> str:
        return "The body did not arrive in time. Send it again."


@dataclass(frozen=True, slots=True)
class Problem:
    """One row: our stable code, the status, a title, and the error code of MLflow's REST API."""

    code: str
    status: int
    title: str
    mlflow_code: str


PROBLEMS: Final[Mapping[type[Exception], Problem]] = MappingProxyType(
    {
        errors.TokenInvalid: Problem("token_invalid", 401, "Invalid token", "UNAUTHENTICATED"),
        errors.TokenExpired: Problem("token_expired", 401, "Expired token", "UNAUTHENTICATED"),
        errors.PermissionDenied: Problem("permission_denied", 403, "Permission denied", "PERMISSION_DENIED"),
        errors.TooManyAttempts: Problem("too_many_attempts", 429, "Too many bad tokens", "REQUEST_LIMIT_EXCEEDED"),
        errors.MalformedHeader: Problem("header_malformed", 400, "Malformed header", "BAD_REQUEST"),
        errors.BodyTooLarge: Problem("body_too_large", 413, "Body too large", "BAD_REQUEST"),
        # The precondition is a header's, hence 412, where the controller's own interface says 409.
        errors.RegistryConflict: Problem("registry_conflict", 412, "Changed in between", "RESOURCE_CONFLICT"),
        errors.RegistryUnavailable: Problem("registry_unavailable", 503, "MLflow is busy", "TEMPORARILY_UNAVAILABLE"),
        CrossSiteRequest: Problem("cross_site_request", 403, "Request from another site", "PERMISSION_DENIED"),
        SlowBody: Problem("body_timeout", 408, "Body too slow", "BAD_REQUEST"),
    }
)

REFUSALS: Final = tuple(PROBLEMS)


def refusal(error: Exception) -> Response:
    """The answer for an error of the table."""
    problem = PROBLEMS[type(error)]
    body = {
        "type": f"/problems/{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": str(error),
        # The two fields that MLflow's client reads.
        "error_code": problem.mlflow_code,
        "message": str(error),
    }
    return Response(json.dumps(body), problem.status, refusal_headers(error), MEDIA_TYPE)


def refusal_headers(error: Exception) -> dict[str, str]:
    """Headers that say how to go on."""
    headers = {"Cache-Control": "no-store"}
    if PROBLEMS[type(error)].status == 401:  # noqa: PLR2004  HTTP
        headers["WWW-Authenticate"] = 'Bearer realm="stagedoor"'
    if isinstance(error, errors.TooManyAttempts):
        headers["Retry-After"] = str(error.retry_after)
    return headers
