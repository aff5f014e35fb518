"""From an Authorization header to a principal. A token that was verified once costs one look-up until it expires."""

import hashlib
import threading
from dataclasses import dataclass
from typing import Final

from stagedoor.auth.attempts import Attempts
from stagedoor.auth.jwks import JwksFollower, check_jwks_url
from stagedoor.auth.keys import KeySet, VerificationKey, accepted_algorithms, static_keys
from stagedoor.auth.principal import ClaimRules, Principal
from stagedoor.auth.tokens import UNKNOWN_KEY, verify
from stagedoor.errors import TokenInvalid
from stagedoor.settings import Settings

REMEMBERED: Final = 4096
_SCHEME: Final = "bearer"


@dataclass(frozen=True, slots=True)
class Recognised:
    """Who sent a token, until when (seconds since 1970), and by which generation of keys that was found out."""

    principal: Principal
    valid_until: float
    generation: int


class Authenticator:
    """Safe to share between threads. `start` and `close` matter where a JWKS URL is followed."""

    def __init__(
        self, keys: tuple[VerificationKey, ...], rules: ClaimRules, attempts: Attempts, jwks: JwksFollower | None = None
    ) -> None:
        self._static = keys
        self._keys = KeySet(0, keys)
        self._rules = rules
        self._attempts = attempts
        self._jwks = jwks
        # Two halves instead of a list of uses: what is looked up moves to the young half, the old half is forgotten whole.
        self._young: dict[bytes, Recognised] = {}
        self._old: dict[bytes, Recognised] = {}
        self._lock = threading.Lock()
        if jwks is not None:
            jwks.subscribe(self._adopt)

    def start(self) -> None:
        """Begin to follow the JWKS URL, if there is one; waits a moment for its first answer."""
        if self._jwks is not None:
            self._jwks.start()

    def close(self) -> None:
        """Stop following. Tokens can still be verified with the keys at hand."""
        if self._jwks is not None:
            self._jwks.close()

    def authenticate(self, authorization: str | None, *, now: float, remote: str = "") -> Principal:
        """The principal of an Authorization header value at the moment `now` (seconds since 1970). Raises as `recognise`."""
        return self.recognise(authorization, now=now, remote=remote).principal

    def still_holds(self, found: Recognised, now: float) -> bool:
        """Whether `recognise` would find the same again."""
        return now < found.valid_until and found.generation == self._keys.generation

    def recognise(self, authorization: str | None, *, now: float, remote: str = "") -> Recognised:
        """Who sent a whole Authorization header value, and for how long that may be taken as known.

        Raises TokenInvalid, TokenExpired, or TooManyAttempts when `remote` has sent too many bad tokens. Good tokens
        pass from any address; a missing header or an expired token counts against none.
        """
        if authorization is None:
            raise TokenInvalid("no Authorization header")
        digest = hashlib.blake2b(authorization.encode(errors="replace"), digest_size=32).digest()
        known = self._young.get(digest) or self._old.get(digest)
        if known is not None and self.still_holds(known, now):
            if digest not in self._young:
                self._remember(digest, known)
            return known
        try:
            return self._verify(authorization, digest, now)
        except TokenInvalid as error:
            if error.reason == UNKNOWN_KEY and self._jwks is not None:
                self._jwks.wake()
            self._attempts.record(remote, now)
            raise

    def _verify(self, authorization: str, digest: bytes, now: float) -> Recognised:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != _SCHEME:
            raise TokenInvalid("the Authorization header is not of the Bearer scheme")
        keys = self._keys
        verified = verify(token, keys, self._rules, now)
        found = Recognised(verified.principal, verified.valid_until, keys.generation)
        self._remember(digest, found)
        return found

    def _remember(self, digest: bytes, entry: Recognised) -> None:
        with self._lock:
            if len(self._young) >= REMEMBERED // 2:
                self._old, self._young = self._young, {}
            self._young[digest] = entry

    def _adopt(self, published: tuple[VerificationKey, ...], *, changed: bool) -> None:
        """Take over the keys of the identity provider; what was remembered with other keys is verified anew."""
        self._keys = KeySet(self._keys.generation + changed, (*self._static, *published))


def build_authenticator(settings: Settings) -> Authenticator:
    """Wire an authenticator from the settings. Raises ConfigurationError when its keys cannot be used."""
    keys = static_keys(settings)
    rules = ClaimRules(settings.token_issuer, settings.token_audience, settings.token_leeway_seconds)
    attempts = Attempts(settings.bad_tokens_per_minute)
    jwks = None
    if settings.token_jwks_url is not None:
        accepted = accepted_algorithms(settings, {key.algorithm for key in keys})
        jwks = JwksFollower(check_jwks_url(str(settings.token_jwks_url)), accepted)
    return Authenticator(keys, rules, attempts, jwks)
