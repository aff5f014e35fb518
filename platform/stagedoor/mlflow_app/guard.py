"""The ASGI middleware around MLflow: nothing reaches it without a token or a session, and the right for it."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from stagedoor import names
from stagedoor.auth import Authenticator, Principal, check_role
from stagedoor.errors import MalformedHeader, PermissionDenied, TokenExpired, TokenInvalid
from stagedoor.mlflow_app.access import SIGN_IN, Access, access_for, graphql_access, is_graphql
from stagedoor.mlflow_app.exchange import (
    COOKIE,
    cleaned,
    is_same_origin,
    read_body,
    remote_of,
    replayed,
    wants_page,
)
from stagedoor.mlflow_app.inner import Inner
from stagedoor.mlflow_app.moves import Moves
from stagedoor.mlflow_app.nudges import Nudger
from stagedoor.mlflow_app.problems import PROBLEMS, REFUSALS, CrossSiteRequest, refusal
from stagedoor.mlflow_app.sign_in import SignIn, denied_page
from stagedoor.mlflow_app.writing import Write, Writing
from stagedoor.telemetry import get_logger

MAX_INSPECTED: Final = 4 * 1024 * 1024
_POLICY_VIOLATION: Final = 1008


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and whether a browser's cookie or a bearer token says so."""

    principal: Principal
    by_cookie: bool


class Guard:
    """Wraps MLflow's own ASGI application. `prefix` is MLflow's `--static-prefix`, without a slash at its end."""

    def __init__(self, inner: ASGIApp, authenticator: Authenticator, nudger: Nudger, *, prefix: str = "") -> None:
        self._inner = inner
        self._authenticator = authenticator
        self._nudger = nudger
        self._prefix = prefix
        self._sign_in = SignIn(authenticator, prefix)
        self._writing = Writing(inner, Moves(Inner(inner, prefix), lambda: datetime.now(UTC)), nudger)
        self._log = get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(self._authenticator.start)
        self._nudger.start()
        try:
            await self._inner(scope, receive, send)
        finally:
            await asyncio.to_thread(self._nudger.close)
            await asyncio.to_thread(self._authenticator.close)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """MLflow has none today; one that appears takes a promoter."""
        access = access_for("WEBSOCKET", self._local(scope))
        try:
            self._admit(self._caller(scope), access, Headers(scope=scope))
        except REFUSALS as error:
            self._report(error, access, None)
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        await self._inner(cleaned(scope), receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        # MLflow takes a method in small letters for the same.
        scope = {**scope, "method": scope["method"].upper()}
        path = self._local(scope)
        if self._sign_in.owns(path):
            await self._sign_in.answer(path, scope, receive, send)
            return
        access = access_for(scope["method"], path)
        if access.role is None:
            await self._inner(cleaned(scope), receive, send)
            return
        caller: Caller | None = None
        try:
            caller = self._caller(scope)
            if is_graphql(path) or access.on_registry:
                # A caller without any right here must not make us read a body first.
                check_role(caller.principal, access.action, names.ROLE_VIEWER)
                body = await read_body(receive, MAX_INSPECTED)
                receive = replayed(body, receive)
                access = graphql_access(body) if is_graphql(path) else access
                self._admit(caller, access, Headers(scope=scope))
                if access.on_registry:
                    write = Write.of(caller.principal, access, scope, path, body)
                    await self._writing.carry_out(write, scope, receive, send)
                    return
            self._admit(caller, access, Headers(scope=scope))
        except REFUSALS as error:
            self._report(error, access, caller)
            await self._refuse(error, scope)(scope, receive, send)
            return
        await self._inner(cleaned(scope), receive, send)

    def _local(self, scope: Scope) -> str:
        """The path without uvicorn's root path and MLflow's static prefix. Only what is exactly under them is shortened."""
        path: str = scope["path"]
        root = scope.get("root_path", "").rstrip("/")
        path = path.removeprefix(root) if root and path.startswith(f"{root}/") else path
        return path.removeprefix(self._prefix) if self._prefix and path.startswith(f"{self._prefix}/") else path

    def _caller(self, scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        given = headers.getlist("authorization")
        if len(given) > 1:
            raise MalformedHeader("Authorization", "it may be sent once")
        remote = remote_of(scope)
        cookie = cookie_parser("; ".join(headers.getlist("cookie"))).get(COOKIE)
        by_cookie = not given and cookie is not None
        authorization = f"Bearer {cookie}" if by_cookie else next(iter(given), None)
        principal = self._authenticator.authenticate(authorization, now=time.time(), remote=remote)
        return Caller(principal, by_cookie)

    def _admit(self, caller: Caller, access: Access, headers: Headers) -> None:
        if access.role is not None:
            check_role(caller.principal, access.action, access.role)
        if caller.by_cookie and not access.reads and not is_same_origin(headers):
            raise CrossSiteRequest

    def _refuse(self, error: Exception, scope: Scope) -> Response:
        headers = Headers(scope=scope)
        if not wants_page(scope["method"], headers):
            return refusal(error)
        if isinstance(error, TokenInvalid | TokenExpired):
            back = _target(scope)
            why = "&expired=1" if isinstance(error, TokenExpired) else ""
            return RedirectResponse(
                f"{self._prefix}{SIGN_IN}?next={quote(back, safe='/')}{why}", 303, {"Cache-Control": "no-store"}
            )
        return denied_page(error, self._prefix, scope["path"]) if isinstance(error, PermissionDenied) else refusal(error)

    def _report(self, error: Exception, access: Access, caller: Caller | None) -> None:
        subject = caller.principal.subject if caller else None
        reason = error.reason if isinstance(error, TokenInvalid) else None
        self._log.info("mlflow_refused", code=PROBLEMS[type(error)].code, action=access.action, subject=subject, reason=reason)


def _target(scope: Scope) -> str:
    """Path and query as the browser asked for them, still percent-encoded."""
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    return bytes(path + (b"?" + scope["query_string"] if scope["query_string"] else b"")).decode("latin-1")
