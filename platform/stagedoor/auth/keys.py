"""Keys that verify tokens. Each is bound to one algorithm, so that none is ever used as what it is not."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from stagedoor.auth.secret import check_secret, signing_secret
from stagedoor.errors import ConfigurationError
from stagedoor.settings import Settings

MIN_RSA_BITS: Final = 2048
HMAC: Final = "HS256"
ASYMMETRIC: Final = ("RS256", "ES256", "EdDSA")

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key for one algorithm; `kid` narrows it to tokens that name it; past `valid_until` it verifies nothing."""

    algorithm: str
    material: bytes | PublicKey
    kid: str | None = None
    valid_until: float = math.inf

    def fits(self, algorithm: str, kid: str | None) -> bool:
        """Whether a token with this header may be signed by this key. A key without a name fits every name."""
        return self.algorithm == algorithm and (self.kid is None or kid is None or self.kid == kid)


@dataclass(frozen=True, slots=True)
class KeySet:
    """All keys of one moment. The generation grows when a key comes or goes, and with it all that was remembered."""

    generation: int
    keys: tuple[VerificationKey, ...]


def algorithm_of(key: object) -> str | None:
    """The one algorithm a public key is used with here, or None if it is too weak or of another kind."""
    if isinstance(key, RSAPublicKey):
        return "RS256" if key.key_size >= MIN_RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey):
        return "ES256" if isinstance(key.curve, SECP256R1) else None
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else None


def static_keys(settings: Settings) -> tuple[VerificationKey, ...]:
    """The secrets and PEM files of the settings. Raises ConfigurationError that names the setting to mend."""
    public = [_read_pem(path) for path in settings.token_public_keys]
    keys = [VerificationKey(HMAC, secret) for secret in _secrets(settings)] + public
    accepted = accepted_algorithms(settings, {key.algorithm for key in keys})
    return tuple(key for key in keys if key.algorithm in accepted)


def accepted_algorithms(settings: Settings, configured: Collection[str]) -> frozenset[str]:
    """The algorithms of the settings, by default those of the keys. Raises ConfigurationError for one without a key."""
    possible = {*configured, *(ASYMMETRIC if settings.token_jwks_url else ())}
    wanted = set(settings.token_algorithms) or possible
    if missing := sorted(wanted - possible):
        raise ConfigurationError(
            f"STAGEDOOR_TOKEN_ALGORITHMS names {', '.join(missing)}, and no key of that kind is configured. "
            "Add one with STAGEDOOR_TOKEN_PUBLIC_KEYS or STAGEDOOR_TOKEN_JWKS_URL, or leave the algorithm out."
        )
    return frozenset(wanted)


def _secrets(settings: Settings) -> tuple[bytes, ...]:
    previous = settings.token_previous_secret
    current = signing_secret(settings)
    found = () if current is None else (current,)
    if previous is not None:
        found = (*found, check_secret(previous.get_secret_value().encode(), "STAGEDOOR_TOKEN_PREVIOUS_SECRET"))
    return found


def _read_pem(path: Path) -> VerificationKey:
    where = f"STAGEDOOR_TOKEN_PUBLIC_KEYS: {path.name}"
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{where} cannot be read. Check the path and its permissions.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{where} holds no public key in PEM form. Write one with `openssl pkey -in private.pem -pubout`."
        ) from error
    algorithm = algorithm_of(key)
    if algorithm is None or not isinstance(key, PublicKey):
        raise ConfigurationError(
            f"{where} must be an RSA key of at least {MIN_RSA_BITS} bits, an EC key on P-256 or an Ed25519 key."
        )
    return VerificationKey(algorithm, key)
