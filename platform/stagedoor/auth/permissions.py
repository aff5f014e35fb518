"""Rights: pure questions to a principal."""

from fnmatch import fnmatchcase

from stagedoor import names
from stagedoor.auth.principal import Principal
from stagedoor.domain.refs import ModelRef
from stagedoor.errors import ModelNotFound, PermissionDenied


def check_role(principal: Principal, action: str, *roles: str) -> None:
    """Let pass who has any of `roles`, else raise PermissionDenied. `action` completes "This token may not ..."."""
    if principal.roles.isdisjoint(roles):
        raise PermissionDenied(action, roles)


def check_predict(principal: Principal, ref: ModelRef) -> None:
    """Let pass who may ask `ref` for a prediction.

    Raises PermissionDenied without the role for it, and ModelNotFound, exactly as for an absent model, where the
    token's patterns do not name the model.
    """
    if names.ROLE_PREDICTOR not in principal.roles:
        raise PermissionDenied("ask for predictions", (names.ROLE_PREDICTOR,))
    if not may_see(principal, ref.name):
        raise ModelNotFound(str(ref))
    if ref.is_pinned and names.ROLE_TESTER not in principal.roles:
        raise PermissionDenied("choose a version or stage", (names.ROLE_TESTER,))


def may_see(principal: Principal, model: str) -> bool:
    """Whether the token's patterns name `model`."""
    models = principal.models
    return "*" in models or any(fnmatchcase(model, pattern) for pattern in models)
