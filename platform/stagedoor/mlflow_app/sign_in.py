"""The page where a person trades a token for a session cookie. The cookie's value is the token itself."""

import html
import secrets
import time
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from stagedoor import names
from stagedoor.auth import Authenticator, Principal, check_role
from stagedoor.errors import BodyTooLarge, PermissionDenied, StagedoorError, TokenExpired, TokenInvalid, TooManyAttempts
from stagedoor.mlflow_app.access import SIGN_IN, SIGN_OUT, local_path
from stagedoor.mlflow_app.exchange import COOKIE, is_same_origin, read_body, remote_of
from stagedoor.mlflow_app.problems import PROBLEMS, REFUSALS, CrossSiteRequest, refusal_headers
from stagedoor.telemetry import get_logger

MAX_FORM: Final = 32 * 1024
MAX_COOKIE: Final = 3800
_TEMPLATE: Final = Template(files("stagedoor.mlflow_app").joinpath("sign_in.html").read_text("utf-8"))
_FORM: Final = Template(files("stagedoor.mlflow_app").joinpath("sign_in_form.html").read_text("utf-8"))
_SESSION: Final = Template(files("stagedoor.mlflow_app").joinpath("session.html").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Page:
    """What the page shows. `message` is an alert; with a `subject` it offers to go on or sign out, else to sign in."""

    prefix: str
    back: str = "/"
    message: str = ""
    subject: str = ""
    status: int = 200


class SignIn:
    """Answers the two paths of signing in and out; everything else is the guard's."""

    def __init__(self, authenticator: Authenticator, prefix: str) -> None:
        self._authenticator = authenticator
        self._prefix = prefix
        self._log = get_logger()

    def owns(self, path: str) -> bool:
        """Whether the path (without the static prefix) is answered here."""
        return path in {SIGN_IN, SIGN_OUT}

    async def answer(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request to a path that it owns."""
        response: Response
        if path == SIGN_IN and scope["method"] in {"GET", "HEAD"}:
            response = self._show(scope)
        elif scope["method"] != "POST":
            response = Response(status_code=405, headers={"Allow": "GET, HEAD, POST" if path == SIGN_IN else "POST"})
        elif path == SIGN_OUT:
            response = self._sign_out(scope)
        else:
            response = await self._sign_in(scope, receive)
        await response(scope, receive, send)

    def _show(self, scope: Scope) -> Response:
        query = QueryParams(scope["query_string"])
        message = "Your session has expired. Sign in again." if query.get("expired") else ""
        page = Page(self._prefix, self._back(query.get("next", "")), message)
        try:
            principal = self._authenticate(_session(scope), scope)
        except (TokenInvalid, TokenExpired, TooManyAttempts):
            return render(page)
        return render(Page(self._prefix, page.back, subject=principal.subject))

    def _sign_out(self, scope: Scope) -> Response:
        if not is_same_origin(Headers(scope=scope)):
            return render(Page(self._prefix, message=str(CrossSiteRequest()), status=403))
        response = RedirectResponse(f"{self._prefix}{SIGN_IN}", 303, {"Cache-Control": "no-store"})
        response.delete_cookie(COOKIE, path="/", secure=_is_secure(scope), httponly=True, samesite="strict")
        return response

    async def _sign_in(self, scope: Scope, receive: Receive) -> Response:
        back = "/"
        try:
            form = parse_qs((await read_body(receive, MAX_FORM)).decode("utf-8", "replace"))
            back = self._back(form.get("next", [""])[0])
            if not is_same_origin(Headers(scope=scope)):
                raise CrossSiteRequest
            token = _pasted(form.get("token", [""])[0])
            principal = self._authenticate(token, scope)
            check_role(principal, "view MLflow", names.ROLE_VIEWER)
            if len(token) > MAX_COOKIE:
                raise BodyTooLarge(MAX_COOKIE)
        except REFUSALS as error:
            self._log.info("sign_in_refused", code=PROBLEMS[type(error)].code)
            page = Page(self._prefix, back, _advice(error), status=PROBLEMS[type(error)].status)
            return render(page, refusal_headers(error))
        self._log.info("signed_in", subject=principal.subject)
        response = RedirectResponse(back, 303, {"Cache-Control": "no-store"})
        response.set_cookie(
            COOKIE,
            token,
            max_age=max(0, int(principal.expires_at - time.time())),
            path="/",
            secure=_is_secure(scope),
            httponly=True,
            samesite="strict",
        )
        return response

    def _authenticate(self, token: str | None, scope: Scope) -> Principal:
        authorization = None if not token else f"Bearer {token}"
        return self._authenticator.authenticate(authorization, now=time.time(), remote=remote_of(scope))

    def _back(self, text: str) -> str:
        back = local_path(text)
        return f"{self._prefix}/" if back == "/" else back


def render(page: Page, headers: dict[str, str] | None = None) -> Response:
    """The page as an answer that no cache keeps, no frame shows and no foreign script touches."""
    nonce = secrets.token_urlsafe(16)
    fields = {
        "back": html.escape(page.back),
        "subject": html.escape(page.subject),
        "sign_in": html.escape(f"{page.prefix}{SIGN_IN}"),
        "sign_out": html.escape(f"{page.prefix}{SIGN_OUT}"),
        "nonce": nonce,
        "message": f'<p class="alert" id="problem" role="alert">{html.escape(page.message)}</p>' if page.message else "",
        "described": "hint problem" if page.message else "hint",
    }
    fields["content"] = (_SESSION if page.subject else _FORM).substitute(fields)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    # Not `no-referrer`: with it browsers send `Origin: null`, and the form could not prove where it comes from.
    fixed = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(_TEMPLATE.substitute(fields), page.status, {**(headers or {}), **fixed})


def denied_page(error: PermissionDenied, prefix: str, back: str) -> Response:
    """What a person sees whose token lacks the right for the page `back`: the way to sign in with another."""
    return render(Page(prefix, local_path(back), str(error), status=403))


def _advice(error: Exception) -> str:
    if isinstance(error, TokenInvalid):
        return "This token is not valid here. Check that you pasted all of it."
    if isinstance(error, BodyTooLarge):
        return f"This token is too long for a browser session (over {MAX_COOKIE} characters). Ask for one with fewer claims."
    return str(error) if isinstance(error, StagedoorError | CrossSiteRequest) else "That did not work. Try again."


def _pasted(text: str) -> str:
    """A token as people paste it: with line breaks, and with `Bearer` before it."""
    words = text.split()
    return "".join(words[1:] if words and words[0].lower() == "bearer" else words)


def _session(scope: Scope) -> str | None:
    return cookie_parser("; ".join(Headers(scope=scope).getlist("cookie"))).get(COOKIE)


def _is_secure(scope: Scope) -> bool:
    return bool(scope.get("scheme") == "https")
