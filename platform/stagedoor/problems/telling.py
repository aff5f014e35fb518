"""An error as the HTTP answer that tells it: the row of the table, in the form of RFC 9457."""

from typing import Any, Final, NamedTuple

import orjson

from stagedoor import errors, names
from stagedoor.problems.leaves import MethodNotAllowed
from stagedoor.problems.table import INTERNAL, Problem, problem_of

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "/problems/"
REALM: Final = 'Bearer realm="stagedoor"'

_MEMBERS: Final = ("field", "expected", "limit", "unit", "accepted", "roles", "allowed", "retry_after")
"""Attributes of errors that a problem shows as extension members. All are ours, never the caller's data."""


class Told(NamedTuple):
    """An error as an HTTP answer: status, headers and body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def tell(error: BaseException, request_id: str, *, open_inference: bool = False) -> Told:
    """The answer that tells `error`. Never raises, and shows nothing of an exception that is not ours.

    With `open_inference` the body also has the string member `error` that the Open Inference Protocol asks for.
    """
    row = problem_of(error)
    detail = str(error) if row is not INTERNAL else "Something went wrong here. The request id leads to the cause in the log."
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + row.code,
        "title": row.title,
        "status": row.status,
        "detail": detail,
        "code": row.code,
        "request_id": request_id,
    }
    if row is not INTERNAL:
        body |= {name: getattr(error, name) for name in _MEMBERS if hasattr(error, name)}
    if open_inference:
        body["error"] = detail
    return Told(row.status, _headers(error, row, request_id), orjson.dumps(body))


def _headers(error: BaseException, row: Problem, request_id: str) -> tuple[tuple[str, str], ...]:
    headers = [
        ("Content-Type", MEDIA_TYPE),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if row.status == 401:  # noqa: PLR2004  RFC 9110 demands the challenge
        headers.append(("WWW-Authenticate", f'{REALM}, error="invalid_token"'))
    if row.status == 403:  # noqa: PLR2004  RFC 6750, 3.1
        headers.append(("WWW-Authenticate", f'{REALM}, error="insufficient_scope"'))
    if hasattr(error, "retry_after"):
        headers.append(("Retry-After", str(error.retry_after)))
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", ", ".join(error.allowed)))
    if isinstance(error, errors.UnsupportedEncoding):
        headers.append(("Accept-Encoding", ", ".join(error.accepted)))  # RFC 9110, 15.5.16
    return (*headers, (names.HEADER_REQUEST_ID, request_id))
