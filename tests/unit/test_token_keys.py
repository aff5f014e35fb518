"""Keys and secrets that tokens are verified and signed with: what refuses to start, and what is made on its own."""

import stat
import threading
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from stagedoor.auth import Authenticator, Principal, build_authenticator, issue_token
from stagedoor.auth.secret import generated_secret
from stagedoor.errors import ConfigurationError, TokenInvalid
from stagedoor.settings import Settings

NOW = 1_800_000_000.0
SECRET = "s" * 40
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
PEM = serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def claims() -> dict[str, Any]:
    return {"iss": "stagedoor", "aud": "stagedoor", "sub": "ann", "exp": NOW + 600}


def settings(**changes: Any) -> Settings:
    return Settings(**{"token_secret": SECRET, **changes})


def pem_files(folder: Path) -> tuple[Path, ...]:
    paths = []
    for name, key in {"rsa": RSA_KEY, "ec": EC_KEY}.items():
        paths.append(folder / f"{name}.pem")
        paths[-1].write_bytes(key.public_key().public_bytes(PEM, SPKI))
    return tuple(paths)


def ask(door: Authenticator, token: str) -> Principal:
    return door.authenticate(f"Bearer {token}", now=NOW)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"token_secret": "short"}, "STAGEDOOR_TOKEN_SECRET"),
        ({"token_secret": ""}, "STAGEDOOR_TOKEN_SECRET"),
        ({"token_previous_secret": "x" * 31}, "STAGEDOOR_TOKEN_PREVIOUS_SECRET"),
        ({"token_algorithms": ("RS256",)}, "STAGEDOOR_TOKEN_ALGORITHMS"),
        ({"token_public_keys": (Path("/nowhere/key.pem"),)}, "STAGEDOOR_TOKEN_PUBLIC_KEYS"),
        ({"token_jwks_url": "http://169.254.169.254/keys"}, "STAGEDOOR_TOKEN_JWKS_URL"),
        ({"token_jwks_url": "http://2852039166/keys"}, "STAGEDOOR_TOKEN_JWKS_URL"),
        ({"token_jwks_url": "http://[fe80::1]/keys"}, "STAGEDOOR_TOKEN_JWKS_URL"),
        ({"token_jwks_url": "http://[::ffff:169.254.169.254]/keys"}, "STAGEDOOR_TOKEN_JWKS_URL"),
        ({"token_jwks_url": "http://0.0.0.0/keys"}, "STAGEDOOR_TOKEN_JWKS_URL"),
        ({"token_jwks_url": "https://me:secret@idp.example/keys"}, "STAGEDOOR_TOKEN_JWKS_URL"),
    ],
)
def test_settings_that_cannot_be_trusted_refuse_to_start(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        build_authenticator(settings(**changes))
    assert "secret@" not in str(caught.value)


def weak_keys() -> dict[str, bytes]:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()  # noqa: S505  weak on purpose
    other_curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    private = RSA_KEY.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "small": small.public_bytes(PEM, SPKI),
        "curve": other_curve.public_bytes(PEM, SPKI),
        "private": private,
        "text": b"key",
    }


@pytest.mark.parametrize("kind", ["small", "curve", "private", "text"])
def test_an_unusable_key_file_refuses_to_start(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(weak_keys()[kind])
    with pytest.raises(ConfigurationError, match=r"STAGEDOOR_TOKEN_PUBLIC_KEYS: key\.pem"):
        build_authenticator(settings(token_public_keys=(path,)))


def test_algorithms_that_are_not_listed_are_refused(tmp_path: Path) -> None:
    door = build_authenticator(settings(token_public_keys=pem_files(tmp_path), token_algorithms=("ES256",)))
    assert ask(door, jwt.encode(claims(), EC_KEY, "ES256")).subject == "ann"
    for token in (jwt.encode(claims(), SECRET, "HS256"), jwt.encode(claims(), RSA_KEY, "RS256")):
        with pytest.raises(TokenInvalid):
            ask(door, token)


def test_an_issued_token_is_verified(tmp_path: Path) -> None:
    ours = Settings(state_dir=tmp_path)
    token = issue_token(ours, subject="ci", roles=["promoter"], models=["fraud*"], lifetime_seconds=60, now=NOW)
    principal = ask(build_authenticator(ours), token)
    assert principal.subject == "ci"
    assert principal.roles == {"promoter", "tester", "viewer", "predictor"}
    assert principal.models == ("fraud*",)
    assert principal.expires_at == NOW + 60


def test_only_known_roles_are_issued(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no role root"):
        issue_token(Settings(state_dir=tmp_path), subject="ci", roles=["root"], now=NOW)


def test_where_only_public_keys_count_no_token_is_issued_and_no_secret_written(tmp_path: Path) -> None:
    ours = Settings(state_dir=tmp_path / "state", token_public_keys=pem_files(tmp_path))
    build_authenticator(ours)
    with pytest.raises(ConfigurationError, match="STAGEDOOR_TOKEN_SECRET"):
        issue_token(ours, subject="ci", roles=["viewer"], now=NOW)
    assert not (tmp_path / "state").exists()


def test_the_generated_secret_is_the_same_for_all_who_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "token.secret"
    seen: list[bytes] = []
    barrier = threading.Barrier(8)

    def come() -> None:
        barrier.wait(10)
        seen.append(generated_secret(path))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["token.secret"]


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token.secret"
    generated_secret(path)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        generated_secret(path)


def test_after_a_change_of_secret_both_are_good_until_the_old_one_is_dropped() -> None:
    old, new = (jwt.encode(claims(), letter * 40, "HS256") for letter in "on")
    overlap = build_authenticator(Settings(token_secret="n" * 40, token_previous_secret="o" * 40))
    assert ask(overlap, old).subject == ask(overlap, new).subject == "ann"
    after = build_authenticator(Settings(token_secret="n" * 40))
    assert ask(after, new).subject == "ann"
    with pytest.raises(TokenInvalid):
        ask(after, old)
