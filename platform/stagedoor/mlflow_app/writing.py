"""Changes of the registry on their way to MLflow: who may make them, on which condition, and who hears of them."""

from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import unquote

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from stagedoor import names
from stagedoor.auth import Principal, check_role
from stagedoor.auth.principal import MAX_SUBJECT
from stagedoor.domain.refs import check_version
from stagedoor.errors import MalformedHeader, MalformedName, RegistryError
from stagedoor.mlflow_app.access import FINDING, Access, registry_target, tail_of
from stagedoor.mlflow_app.exchange import StatusSeen, cleaned
from stagedoor.mlflow_app.moves import Moves
from stagedoor.mlflow_app.nudges import Nudger
from stagedoor.mlflow_app.writes import Move, move_of, read_fields, touches_findings
from stagedoor.telemetry import get_logger

_OK: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Write:
    """A change that `subject` may make. `author` is whom it is put down to; `expected` is what must be so, see Moves."""

    access: Access
    subject: str
    author: str
    target: dict[str, Any]
    move: Move | None = None
    expected: str | None = None

    @classmethod
    def of(cls, principal: Principal, access: Access, scope: Scope, path: str, body: bytes) -> Self:
        """Read a request that `principal` may send as such.

        Raises PermissionDenied if it touches what only the controller writes, or speaks for another, and MalformedHeader
        if it sets a condition that cannot be met here.
        """
        fields = read_fields(body)
        headers = Headers(scope=scope)
        if touches_findings(scope["method"], tail_of(path), fields):
            check_role(principal, FINDING.action, names.ROLE_ADMIN)
        move = move_of(scope["method"], tail_of(path), fields)
        return cls(
            access,
            principal.subject,
            _author(headers, principal),
            registry_target(fields, QueryParams(scope["query_string"])),
            move,
            _expected(headers, move),
        )


class Writing:
    """Passes writes on to MLflow, says in the log who made them, and tells those who serve."""

    def __init__(self, inner: ASGIApp, moves: Moves, nudger: Nudger) -> None:
        self._inner = inner
        self._moves = moves
        self._nudger = nudger
        self._log = get_logger()

    async def carry_out(self, write: Write, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request of `write`. Raises as Moves.carry_out does, before anything is sent."""
        if write.move is not None:
            await self._make(write, write.move, scope, receive, send)
            return
        seen = StatusSeen(send)
        try:
            await self._inner(cleaned(scope), receive, seen)
        finally:
            self._report(write, seen.status)

    async def _make(self, write: Write, move: Move, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._moves.carry_out(move, write.author, write.expected, scope, receive)
        except RegistryError:
            raise  # MLflow never saw it, and the guard says in the log that it was refused
        except BaseException:
            self._report(write, 0)
            raise
        self._report(write, answer.status)
        await answer.hand_over(send)

    def _report(self, write: Write, status: int) -> None:
        spoken = {"on_behalf_of": write.author} if write.author != write.subject else {}
        self._log.info(
            "registry_write", action=write.access.action, subject=write.subject, status=status, target=write.target, **spoken
        )
        if write.access.moves_traffic and status in _OK:
            self._nudger.nudge()


def _expected(headers: Headers, move: Move | None) -> str | None:
    """What the header says; None if there is none. It is never passed over: a condition left unchecked is worse than none."""
    given = headers.getlist(names.HEADER_EXPECTED_VERSION)
    if not given:
        return None
    if len(given) > 1 or move is None or not move.is_alias:
        raise MalformedHeader(names.HEADER_EXPECTED_VERSION, "it may be sent once, with a move of an alias")
    try:
        return given[0] and check_version(given[0])
    except MalformedName as error:
        raise MalformedHeader(names.HEADER_EXPECTED_VERSION, "it names a version, or is empty for none") from error


def _author(headers: Headers, principal: Principal) -> str:
    """The one who asked for it: the token's subject, or the one whom an admin's token names."""
    given = headers.getlist(names.HEADER_ON_BEHALF_OF)
    if not given:
        return principal.subject
    check_role(principal, "speak for another", names.ROLE_ADMIN)
    subject = unquote(given[0])
    if len(given) > 1 or not subject.isprintable() or not 0 < len(subject) <= MAX_SUBJECT:
        raise MalformedHeader(
            names.HEADER_ON_BEHALF_OF, f"it names one subject, percent-encoded, of at most {MAX_SUBJECT} letters"
        )
    return subject
