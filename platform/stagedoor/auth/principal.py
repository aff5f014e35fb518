"""The caller as the claims of a verified token describe them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from stagedoor import names
from stagedoor.errors import TokenExpired, TokenInvalid

MAX_SUBJECT: Final = 256
MAX_PATTERNS: Final = 256
_FAR: Final = 1e15

IMPLIED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        names.ROLE_PREDICTOR: frozenset({names.ROLE_PREDICTOR}),
        names.ROLE_TESTER: frozenset({names.ROLE_TESTER, names.ROLE_PREDICTOR}),
        names.ROLE_VIEWER: frozenset({names.ROLE_VIEWER}),
        names.ROLE_PROMOTER: frozenset({names.ROLE_PROMOTER, names.ROLE_TESTER, names.ROLE_PREDICTOR, names.ROLE_VIEWER}),
        names.ROLE_ADMIN: frozenset(
            {names.ROLE_ADMIN, names.ROLE_PROMOTER, names.ROLE_TESTER, names.ROLE_PREDICTOR, names.ROLE_VIEWER}
        ),
    }
)
"""Every role with all that it includes. A role that is not here includes nothing."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was verified.

    `roles` holds the granted roles and all that they imply; `models` are case-sensitive patterns as in a shell;
    `expires_at` is the token's `exp` in seconds since 1970.
    """

    subject: str
    roles: frozenset[str]
    models: tuple[str, ...]
    expires_at: float
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What the claims of an acceptable token say. `leeway` is the clock skew forgiven, in seconds."""

    issuer: str
    audience: str
    leeway: float


def principal_from(claims: Mapping[str, Any], rules: ClaimRules, now: float) -> Principal:
    """Check the claims of a token whose signature holds. Raises TokenExpired or TokenInvalid."""
    if claims.get("iss") != rules.issuer:
        raise TokenInvalid("iss is missing or another issuer's")
    _check_audience(claims.get("aud"), rules.audience)
    expires_at = _moment(claims, "exp")
    if expires_at is None:
        raise TokenInvalid("exp is missing")
    for claim in ("nbf", "iat"):
        moment = _moment(claims, claim)
        if moment is not None and moment > now + rules.leeway:
            raise TokenInvalid(f"{claim} lies in the future")
    principal = Principal(
        subject=_subject(claims.get("sub")),
        roles=_roles(claims.get(names.CLAIM_ROLES, [])),
        models=_patterns(claims.get(names.CLAIM_MODELS, [])),
        expires_at=expires_at,
        claims=MappingProxyType(dict(claims)),
    )
    if now >= expires_at + rules.leeway:
        raise TokenExpired
    return principal


def _check_audience(audience: object, ours: str) -> None:
    listed = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(entry, str) for entry in listed) or ours not in listed:
        raise TokenInvalid("aud is missing or another audience's")


def _moment(claims: Mapping[str, Any], claim: str) -> float | None:
    value = claims.get(claim)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_FAR < value < _FAR:
        raise TokenInvalid(f"{claim} is not a time in seconds")
    return float(value)


def _subject(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MAX_SUBJECT:
        raise TokenInvalid("sub is missing or malformed")
    return value


def _roles(value: object) -> frozenset[str]:
    return frozenset().union(*(IMPLIED.get(role, frozenset()) for role in _strings(value, names.CLAIM_ROLES)))


def _patterns(value: object) -> tuple[str, ...]:
    return tuple(_strings(value, names.CLAIM_MODELS))


def _strings(value: object, claim: str) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_PATTERNS or not all(isinstance(entry, str) for entry in value):
        raise TokenInvalid(f"{claim} is not a list of strings")
    return value
