"""The table of bad tokens, at the level of the Authenticator. Time is an argument; nothing sleeps."""

import base64
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from stagedoor.auth import Authenticator, Principal, build_authenticator
from stagedoor.auth.authenticator import REMEMBERED
from stagedoor.errors import StagedoorError, TokenExpired, TokenInvalid, TooManyAttempts
from stagedoor.settings import Settings

NOW = 1_800_000_000.0
SECRET = "s" * 40
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE = {"RS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}
PEM = serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def claims(**changes: Any) -> dict[str, Any]:
    base = {"iss": "stagedoor", "aud": "stagedoor", "sub": "ann", "exp": NOW + 600, "roles": ["predictor"], "models": ["*"]}
    return {name: value for name, value in {**base, **changes}.items() if value is not ...}


def hs(secret: str = SECRET, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret, "HS256", headers=headers)


def raw(header: Any, payload: Any, signature: bytes = b"x") -> str:
    return ".".join(b64(json.dumps(part).encode()) for part in (header, payload)) + "." + b64(signature)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def settings(**changes: Any) -> Settings:
    return Settings(**{"token_secret": SECRET, **changes})


def pem_files(folder: Path) -> tuple[Path, ...]:
    paths = []
    for algorithm, key in PRIVATE.items():
        paths.append(folder / f"{algorithm}.pem")
        paths[-1].write_bytes(key.public_key().public_bytes(PEM, SPKI))
    return tuple(paths)


@pytest.fixture
def hmac_door() -> Authenticator:
    return build_authenticator(settings(bad_tokens_per_minute=10_000))


@pytest.fixture
def pem_door(tmp_path: Path) -> Authenticator:
    return build_authenticator(settings(token_public_keys=pem_files(tmp_path), bad_tokens_per_minute=10_000))


def ask(door: Authenticator, token: str, now: float = NOW, remote: str = "192.0.2.1") -> Principal:
    return door.authenticate(f"Bearer {token}", now=now, remote=remote)


def rsa_public_as(form: str) -> str:
    public = RSA_KEY.public_key()
    if form == "pem":
        return public.public_bytes(PEM, SPKI).decode()
    if form == "ssh":
        return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    return json.dumps(jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True))


def signed_by_bytes(secret: bytes, header: dict[str, Any]) -> str:
    """HS256 with any bytes at all: PyJWT itself refuses to sign with a public key."""
    signing_input = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims()).encode())}"
    return f"{signing_input}.{b64(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


def test_a_good_token_gives_its_principal_with_the_implied_roles(hmac_door: Authenticator) -> None:
    principal = ask(hmac_door, hs(roles=["tester"], models=["fraud*"], team="risk"))
    assert principal.subject == "ann"
    assert principal.roles == {"tester", "predictor"}
    assert principal.models == ("fraud*",)
    assert principal.expires_at == NOW + 600
    assert principal.claims["team"] == "risk"


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_each_kind_of_public_key_verifies_its_own_tokens(pem_door: Authenticator, algorithm: str) -> None:
    assert ask(pem_door, jwt.encode(claims(), PRIVATE[algorithm], algorithm)).subject == "ann"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Basic YTpi",
        "Digest x",
        f"Token {hs()}",
        hs(),
        f"Bearer {hs()} x",
        "Bearer \ud800",
    ],
)
def test_a_header_that_is_no_bearer_token_is_invalid(hmac_door: Authenticator, header: str | None) -> None:
    with pytest.raises(TokenInvalid):
        hmac_door.authenticate(header, now=NOW)


UNSIGNED = {
    "alg none": raw({"alg": "none"}, claims()),
    "alg None": raw({"alg": "None"}, claims()),
    "alg nOnE": raw({"alg": "nOnE"}, claims()),
    "no alg": raw({}, claims()),
    "alg a number": raw({"alg": 7}, claims()),
    "no signature": hs().rpartition(".")[0] + ".",
    "two parts": hs().rpartition(".")[0],
    "JWE": "a.b.c.d.e",
    "JWS as JSON": json.dumps({"payload": "x"}),
    "padding": hs() + "=",
    "another secret": hs("t" * 40),
    "kid is a path": signed_by_bytes(b"", {"alg": "HS256", "kid": "../../../../dev/null"}),
    "kid is SQL": signed_by_bytes(b"x", {"alg": "HS256", "kid": "x' UNION SELECT 'x"}),
    "kid a number": signed_by_bytes(b"x" * 40, {"alg": "HS256", "kid": 5}),
    "crit": signed_by_bytes(SECRET.encode(), {"alg": "HS256", "crit": ["exp"]}),
    "b64 false": signed_by_bytes(SECRET.encode(), {"alg": "HS256", "b64": False, "crit": ["b64"]}),
    "64 kB": hs(filler="x" * 65536),
    "just too long": hs(filler="x" * 8192),
    "nested header": b64(b'{"a":' * 1200) + ".e30.eA",
    "header no object": raw([], claims()),
}


@pytest.mark.parametrize("token", UNSIGNED.values(), ids=UNSIGNED.keys())
def test_a_token_without_proof_is_invalid(pem_door: Authenticator, token: str) -> None:
    with pytest.raises(TokenInvalid):
        ask(pem_door, token)


@pytest.mark.parametrize("form", ["pem", "ssh", "jwk"])
@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
def test_a_public_key_is_never_taken_for_a_secret(pem_door: Authenticator, form: str, algorithm: str) -> None:
    with pytest.raises(TokenInvalid):
        ask(pem_door, signed_by_bytes(rsa_public_as(form).encode(), {"alg": algorithm}))


def test_es256_with_zeros_for_a_signature_is_invalid(pem_door: Authenticator) -> None:
    signing_input = jwt.encode(claims(), EC_KEY, "ES256").rpartition(".")[0]
    with pytest.raises(TokenInvalid):
        ask(pem_door, f"{signing_input}.{b64(bytes(64))}")


@pytest.mark.parametrize("field", ["jwk", "jku", "x5u"])
def test_a_key_that_comes_with_the_token_is_not_used(pem_door: Authenticator, field: str) -> None:
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_RSA.public_key(), as_dict=True)
    value = jwk if field == "jwk" else "http://127.0.0.1:9/keys"
    with pytest.raises(TokenInvalid):
        ask(pem_door, jwt.encode(claims(), OTHER_RSA, "RS256", headers={field: value}))


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "no exp": {"exp": ...},
    "exp a string": {"exp": str(NOW + 600)},
    "exp infinite": {"exp": float("inf")},
    "exp NaN": {"exp": float("nan")},
    "exp huge": {"exp": 10**400},
    "exp true": {"exp": True},
    "nbf later": {"nbf": NOW + 61},
    "nbf a string": {"nbf": "soon"},
    "iat later": {"iat": NOW + 61},
    "no iss": {"iss": ...},
    "wrong iss": {"iss": "stagedoor2"},
    "iss a list": {"iss": ["stagedoor"]},
    "no aud": {"aud": ...},
    "wrong aud": {"aud": "backdoor"},
    "aud that only contains ours": {"aud": "stagedoor-staging"},
    "aud list that only contains ours in an entry": {"aud": ["stagedoor-staging", "x"]},
    "aud list of numbers": {"aud": ["stagedoor", 5]},
    "no sub": {"sub": ...},
    "empty sub": {"sub": ""},
    "sub a number": {"sub": 5},
    "sub with a line feed": {"sub": "ann\nlevel=error"},
    "endless sub": {"sub": "a" * 257},
    "roles a string": {"roles": "admin"},
    "roles of numbers": {"roles": [1]},
    "roles null": {"roles": None},
    "models a string": {"models": "*"},
    "models an object": {"models": {"fraud": True}},
    "too many models": {"models": ["a"] * 300},
}


@pytest.mark.parametrize("changes", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_a_claim_that_is_missing_or_malformed_makes_the_token_invalid(
    hmac_door: Authenticator, changes: dict[str, Any]
) -> None:
    payload = json.dumps(claims(**changes)).encode()
    token = jwt.PyJWS().encode(payload, SECRET.encode(), "HS256")
    with pytest.raises(TokenInvalid):
        ask(hmac_door, token)


@pytest.mark.parametrize("payload", [b"[]", b"5", b"null", b"{", b"\xff", b"[" * 5000])
def test_claims_that_are_no_object_make_the_token_invalid(hmac_door: Authenticator, payload: bytes) -> None:
    with pytest.raises(TokenInvalid):
        ask(hmac_door, jwt.PyJWS().encode(payload, SECRET.encode(), "HS256"))


@pytest.mark.parametrize("changes", [{"aud": ["other", "stagedoor"]}, {"nbf": NOW + 59}, {"iat": NOW + 59}, {"exp": NOW - 59}])
def test_what_is_just_good_enough_passes(hmac_door: Authenticator, changes: dict[str, Any]) -> None:
    assert ask(hmac_door, hs(**changes)).subject == "ann"


def test_a_token_expires_after_the_leeway_even_when_it_is_remembered(hmac_door: Authenticator) -> None:
    token = hs(exp=NOW)
    assert ask(hmac_door, token, now=NOW - 1).subject == "ann"
    assert ask(hmac_door, token, now=NOW + 59).subject == "ann"
    with pytest.raises(TokenExpired):
        ask(hmac_door, token, now=NOW + 61)


def test_missing_roles_and_models_mean_none(hmac_door: Authenticator) -> None:
    principal = ask(hmac_door, hs(roles=..., models=...))
    assert (principal.roles, principal.models) == (frozenset(), ())


def test_an_unknown_role_gives_nothing(hmac_door: Authenticator) -> None:
    assert ask(hmac_door, hs(roles=["Admin", "root", "predictor"])).roles == {"predictor"}


def test_after_twenty_bad_tokens_the_address_has_to_wait_and_good_tokens_still_pass() -> None:
    door = build_authenticator(settings())
    for _ in range(20):
        with pytest.raises(TokenInvalid):
            ask(door, "bad")
    with pytest.raises(TooManyAttempts) as caught:
        ask(door, "bad", now=NOW + 15)
    assert caught.value.retry_after == 45
    assert ask(door, hs()).subject == "ann"
    with pytest.raises(TokenInvalid):
        ask(door, "bad", remote="192.0.2.2")
    with pytest.raises(TokenInvalid):
        ask(door, "bad", now=NOW + 60)


@pytest.mark.parametrize("header", [None, f"Bearer {hs(exp=NOW - 3600)}"])
def test_a_missing_or_expired_token_counts_against_nobody(header: str | None) -> None:
    door = build_authenticator(settings(bad_tokens_per_minute=1))
    for _ in range(5):
        with pytest.raises((TokenInvalid, TokenExpired)):
            door.authenticate(header, now=NOW, remote="192.0.2.1")


def test_remembered_tokens_are_bounded_and_those_in_use_stay(monkeypatch: pytest.MonkeyPatch, hmac_door: Authenticator) -> None:
    verified: list[str] = []
    from stagedoor.auth import authenticator as module

    real: Callable[..., Any] = module.verify

    def counting(token: str, *args: Any) -> Any:
        verified.append(token)
        return real(token, *args)

    monkeypatch.setattr(module, "verify", counting)
    favourite = hs()
    for number in range(REMEMBERED + 100):
        ask(hmac_door, hs(n=number))
        ask(hmac_door, favourite)
    assert verified.count(favourite) == 1
    assert len(hmac_door._young) + len(hmac_door._old) <= REMEMBERED  # noqa: SLF001  the bound itself is the claim


def test_no_error_of_a_bad_token_quotes_it(hmac_door: Authenticator) -> None:
    token = hs("t" * 40, sub="quoted")
    with pytest.raises(StagedoorError) as caught:
        ask(hmac_door, token)
    assert token not in repr(caught.value)
