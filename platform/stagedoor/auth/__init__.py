"""Who calls, and what they may: tokens, keys, principals and rights. Knows neither HTTP nor MLflow."""

from stagedoor.auth.authenticator import Authenticator, Recognised, build_authenticator
from stagedoor.auth.own_token import OwnToken
from stagedoor.auth.permissions import check_predict, check_role
from stagedoor.auth.principal import Principal
from stagedoor.auth.tokens import issue_token

__all__ = [
    "Authenticator",
    "OwnToken",
    "Principal",
    "Recognised",
    "build_authenticator",
    "check_predict",
    "check_role",
    "issue_token",
]
