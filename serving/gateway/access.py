"""Who is asking, for the views that Flask answers itself. Predictions are admitted by the plane."""

import time

from flask import current_app, g, request

from serving.gateway.services import Services
from stagedoor import names
from stagedoor.auth import Principal, check_predict, check_role
from stagedoor.auth.permissions import may_see
from stagedoor.domain.refs import ModelRef
from stagedoor.errors import MalformedHeader, ModelNotFound, StagedoorError

EXTENSION = "stagedoor"


def services() -> Services:
    """What the app was made with."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def authorization() -> str | None:
    """The Authorization header. WSGI joins two of them with a comma, which no bearer token holds."""
    value = request.headers.get("Authorization")
    if value is not None and "," in value:
        raise MalformedHeader("Authorization", "send it once")
    return value


def current_principal() -> Principal:
    """Who sent this request. Raises TokenInvalid, TokenExpired, TooManyAttempts and MalformedHeader."""
    if "principal" not in g:
        g.principal = services().authenticator.authenticate(authorization(), now=time.time(), remote=request.remote_addr or "")
    found: Principal = g.principal
    return found


def viewer_or_nobody() -> Principal | None:
    """The caller, if a viewer; None for anybody else. Never raises what a health probe would stumble over."""
    if "Authorization" not in request.headers:
        return None
    try:
        principal = current_principal()
        check_role(principal, "read the status", names.ROLE_VIEWER)
    except StagedoorError:
        return None
    return principal


def check_read(principal: Principal, ref: ModelRef) -> None:
    """Let viewers, and those who may predict with `ref`, read about it. Raises ModelNotFound and PermissionDenied."""
    if names.ROLE_VIEWER not in principal.roles:
        check_predict(principal, ref)
    elif not may_see(principal, ref.name):
        raise ModelNotFound(str(ref))


def check_reader(principal: Principal) -> None:
    """Let those with any right to read about models list them. Raises PermissionDenied."""
    check_role(principal, "read about models", names.ROLE_VIEWER, names.ROLE_PREDICTOR)
