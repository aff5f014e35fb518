"""Who asks, and whether they may."""

import time

from flask import current_app, g, request

from registry_hooks.api.services import Services
from stagedoor import names
from stagedoor.auth import Principal, check_role
from stagedoor.auth.permissions import may_see
from stagedoor.domain.refs import check_name
from stagedoor.errors import MalformedHeader, ModelNotFound

EXTENSION = "stagedoor"


def services() -> Services:
    """What the app was made with."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def principal() -> Principal:
    """Who sent this request. Raises TokenInvalid, TokenExpired, TooManyAttempts and MalformedHeader."""
    value = request.headers.get("Authorization")
    if value is not None and "," in value:  # WSGI joins two headers with a comma, which no bearer token holds
        raise MalformedHeader("Authorization", "send it once")
    if "principal" not in g:
        g.principal = services().authenticator.authenticate(value, now=time.time(), remote=request.remote_addr or "")
    found: Principal = g.principal
    return found


def viewer(model: str | None = None) -> Principal:
    """The caller, who may read about `model`. Raises PermissionDenied, and ModelNotFound for one that may not be seen."""
    return _with_role("read about models", (names.ROLE_VIEWER,), model)


def promoter(model: str | None = None) -> Principal:
    """The caller, who may promote `model`. Raises as `viewer`."""
    return _with_role("change what is live", (names.ROLE_PROMOTER, names.ROLE_ADMIN), model)


def admin(model: str) -> Principal:
    """The caller, who may put faults into `model`. Raises as `viewer`."""
    return _with_role("run drills", (names.ROLE_ADMIN,), model)


def _with_role(action: str, roles: tuple[str, ...], model: str | None) -> Principal:
    caller = principal()
    check_role(caller, action, *roles)
    if model is not None and not may_see(caller, check_name(model)):
        raise ModelNotFound(model)
    return caller
