"""Verifying and issuing JSON Web Tokens (RFC 7519, RFC 8725). All cryptography is PyJWT's."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from stagedoor import names
from stagedoor.auth.keys import KeySet, VerificationKey
from stagedoor.auth.principal import IMPLIED, ClaimRules, Principal, principal_from
from stagedoor.auth.secret import signing_secret
from stagedoor.errors import ConfigurationError, TokenInvalid
from stagedoor.settings import Settings

MAX_TOKEN: Final = 8192
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_JWS: Final = jwt.PyJWS()

UNKNOWN_KEY: Final = "no key for its algorithm and kid"
"""The reason of TokenInvalid where the key is not known, or not yet."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A principal, and until when its token may be believed without looking again."""

    principal: Principal
    valid_until: float


def verify(token: str, keys: KeySet, rules: ClaimRules, now: float) -> Verified:
    """Verify a compact token at the moment `now`. Raises TokenInvalid or TokenExpired.

    Only the header's `alg` and `kid` are read, and only to choose among our own keys: nothing in a token can bring a key.
    """
    if len(token) > MAX_TOKEN:
        raise TokenInvalid(f"longer than {MAX_TOKEN} bytes")
    if not _COMPACT.fullmatch(token):
        raise TokenInvalid("not three parts of base64url")
    header = _header(token)
    kid = header.get("kid")
    candidates = [key for key in keys.keys if key.fits(header["alg"], kid) and now < key.valid_until]
    if not candidates:
        raise TokenInvalid(UNKNOWN_KEY)
    for key in candidates:
        payload = _signed_payload(token, key)
        if payload is not None:
            principal = principal_from(_claims(payload), rules, now)
            return Verified(principal, min(principal.expires_at + rules.leeway, key.valid_until))
    raise TokenInvalid("the signature does not hold")


def issue_token(  # noqa: PLR0913  a token is what its claims are
    settings: Settings,
    *,
    subject: str,
    roles: Iterable[str],
    models: Iterable[str] = ("*",),
    lifetime_seconds: float = 86400,
    now: float,
) -> str:
    """Sign an HS256 token with the settings' secret, or the generated one. Raises ConfigurationError.

    `roles` are Stagedoor's own; `models` are patterns of the models it may use; `now` is in seconds since 1970.
    """
    granted = sorted(set(roles))
    if unknown := [role for role in granted if role not in IMPLIED]:
        raise ConfigurationError(f"There is no role {', '.join(unknown)}. The roles are {', '.join(IMPLIED)}.")
    secret = signing_secret(settings)
    if secret is None:
        raise ConfigurationError(
            "Tokens are issued by your identity provider: only public keys are configured here. "
            "Set STAGEDOOR_TOKEN_SECRET to issue tokens with Stagedoor too."
        )
    claims = {
        "iss": settings.token_issuer,
        "aud": settings.token_audience,
        "sub": subject,
        "iat": int(now),
        "exp": int(now + lifetime_seconds),
        names.CLAIM_ROLES: granted,
        names.CLAIM_MODELS: list(models),
    }
    return jwt.encode(claims, secret, algorithm="HS256")


def _header(token: str) -> Mapping[str, Any]:
    try:
        header = _JWS.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as error:
        raise TokenInvalid("the header is not readable") from error
    if "crit" in header or "b64" in header:
        raise TokenInvalid("the header demands an extension")
    if not isinstance(header.get("alg"), str):
        raise TokenInvalid("the header names no algorithm")
    return header


def _signed_payload(token: str, key: VerificationKey) -> bytes | None:
    try:
        payload: bytes = _JWS.decode_complete(token, key.material, algorithms=[key.algorithm])["payload"]
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return payload


def _claims(payload: bytes) -> Mapping[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise TokenInvalid("the claims are not JSON") from error
    if not isinstance(claims, dict):
        raise TokenInvalid("the claims are not an object")
    return claims
