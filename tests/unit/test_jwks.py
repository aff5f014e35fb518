"""Following a JWKS address, against a real HTTP server on loopback."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from stagedoor.auth import Authenticator, Principal
from stagedoor.auth.attempts import Attempts
from stagedoor.auth.jwks import STALE_SECONDS, JwksFollower, JwksUnusable, fetch_json, usable_keys
from stagedoor.auth.principal import ClaimRules
from stagedoor.errors import TokenInvalid

NOW = 1_800_000_000.0
KEYS: dict[str, tuple[str, Any]] = {
    "r": ("RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "e": ("ES256", ec.generate_private_key(ec.SECP256R1())),
    "d": ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
}
ALGORITHMS = ("RS256", "ES256", "EdDSA")


class Provider:
    """An identity provider whose answer a test sets; counts what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.headers: dict[str, str] = {}
        self.paths: list[str] = []
        self.trickle = False
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.paths.append(self.path)
                self.send_response(provider.status)
                for name, value in provider.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(provider.body)))
                self.end_headers()
                try:
                    self._send()
                except OSError:
                    self.close_connection = True

            def _send(self) -> None:
                if not provider.trickle:
                    self.wfile.write(provider.body)
                    return
                for byte in provider.body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)

            def log_message(self, *_: object) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"

    def publish(self, *kids: str) -> None:
        self.body = json.dumps({"keys": [jwk(kid) for kid in kids]}).encode()


def jwk(kid: str, **changes: Any) -> dict[str, Any]:
    algorithm, key = KEYS[kid]
    plain = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)  # type: ignore[attr-defined]
    return {**plain, "kid": kid, "use": "sig", "alg": algorithm, **changes}


def token(kid: str, header_kid: str | None = None) -> str:
    claims = {"iss": "i", "aud": "a", "sub": "ann", "exp": NOW + 10 * STALE_SECONDS, "roles": ["predictor"]}
    algorithm, key = KEYS[kid]
    return jwt.encode(claims, key, algorithm, headers={"kid": header_kid or kid})


@pytest.fixture
def provider() -> Iterator[Provider]:
    it = Provider()
    thread = threading.Thread(target=it.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield it
    it.server.shutdown()
    it.server.server_close()
    thread.join(10)


@pytest.fixture
def follower(provider: Provider) -> Iterator[JwksFollower]:
    it = JwksFollower(provider.url, ALGORITHMS, clock=lambda: NOW)
    yield it
    it.close()


@pytest.fixture
def door(follower: JwksFollower) -> Authenticator:
    return Authenticator((), ClaimRules("i", "a", 60), Attempts(10_000), follower)


def ask(door: Authenticator, text: str, now: float = NOW) -> Principal:
    return door.authenticate(f"Bearer {text}", now=now, remote="192.0.2.1")


@pytest.mark.parametrize("kid", KEYS)
def test_the_published_keys_verify_tokens_that_name_them(
    provider: Provider, follower: JwksFollower, door: Authenticator, kid: str
) -> None:
    provider.publish(*KEYS)
    follower.refresh()
    assert ask(door, token(kid)).subject == "ann"
    with pytest.raises(TokenInvalid):
        ask(door, token(kid, header_kid="another"))


def test_a_removed_key_ends_its_tokens_even_those_that_are_remembered(
    provider: Provider, follower: JwksFollower, door: Authenticator
) -> None:
    provider.publish("r", "e")
    follower.refresh()
    ask(door, token("e"))
    provider.publish("r")
    follower.refresh()
    with pytest.raises(TokenInvalid):
        ask(door, token("e"))
    assert ask(door, token("r")).subject == "ann"


def test_while_the_provider_is_down_known_keys_go_on_for_a_day_and_no_longer(
    provider: Provider, follower: JwksFollower, door: Authenticator
) -> None:
    provider.publish("r", "e")
    follower.refresh()
    ask(door, token("r"))
    provider.status = 503
    follower.refresh()
    assert ask(door, token("r"), now=NOW + 600).subject == "ann"
    assert ask(door, token("e"), now=NOW + STALE_SECONDS - 1).subject == "ann"
    for kid in ("r", "e"):
        with pytest.raises(TokenInvalid):
            ask(door, token(kid), now=NOW + STALE_SECONDS + 1)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"5", b'{"keys": []}', b'{"keys": {}}', b'{"keys": [5, {}]}', b"[" * 50_000]
)
def test_an_answer_without_keys_leaves_the_old_ones(
    provider: Provider, follower: JwksFollower, door: Authenticator, body: bytes
) -> None:
    provider.publish("r")
    follower.refresh()
    provider.body = body
    follower.refresh()
    assert ask(door, token("r")).subject == "ann"


def test_a_redirect_is_not_followed(provider: Provider) -> None:
    provider.status = 302
    provider.headers = {"Location": "/elsewhere"}
    with pytest.raises(JwksUnusable, match="302"):
        fetch_json(provider.url)
    assert provider.paths == ["/keys"]


def test_an_endless_answer_is_cut_off(provider: Provider) -> None:
    provider.body = b" " * 1_000_000
    with pytest.raises(JwksUnusable, match="too large"):
        fetch_json(provider.url)


def test_a_trickling_answer_is_cut_off(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stagedoor.auth.jwks.FETCH_SECONDS", 0.3)
    provider.body = b" " * 1000
    provider.trickle = True
    started = time.monotonic()
    with pytest.raises(JwksUnusable, match="too slow"):
        fetch_json(provider.url)
    assert time.monotonic() - started < 5


def test_a_thousand_unknown_kids_cause_one_more_fetch_at_most(provider: Provider, door: Authenticator) -> None:
    provider.publish("r")
    door.start()
    try:
        assert wait_for(lambda: len(provider.paths) == 1)
        started = time.monotonic()
        for number in range(1000):
            with pytest.raises(TokenInvalid):
                ask(door, token("d", header_kid=f"random-{number}"))
        assert time.monotonic() - started < 5
        assert len(provider.paths) == 1
    finally:
        door.close()


@pytest.mark.parametrize("field", ["jku", "x5u"])
def test_an_address_inside_a_token_is_never_asked(
    provider: Provider, follower: JwksFollower, door: Authenticator, field: str
) -> None:
    provider.publish("r")
    follower.refresh()
    provider.publish("r", "e")
    claims = {"iss": "i", "aud": "a", "sub": "eve", "exp": NOW + 60}
    listener = provider.url.replace("/keys", "/theirs")
    text = jwt.encode(claims, KEYS["e"][1], "ES256", headers={"kid": "e", field: listener})
    with pytest.raises(TokenInvalid):
        ask(door, text)
    assert provider.paths == ["/keys"]


def test_many_threads_with_many_tokens_all_get_their_own_principal(
    provider: Provider, follower: JwksFollower, door: Authenticator
) -> None:
    provider.publish("d")
    follower.refresh()
    key = KEYS["d"][1]
    texts = {
        f"user-{n}": jwt.encode({"iss": "i", "aud": "a", "sub": f"user-{n}", "exp": NOW + 60}, key, "EdDSA", {"kid": "d"})
        for n in range(50)
    }
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda subject: (subject, ask(door, texts[subject]).subject), list(texts) * 20))
    assert len(found) == 1000
    assert all(subject == answered for subject, answered in found)


def test_an_unknown_kid_wakes_the_follower_once_a_fetch_is_due(provider: Provider) -> None:
    provider.publish("r")
    follower = JwksFollower(provider.url, ALGORITHMS, clock=lambda: NOW, gap=0.2)
    door = Authenticator((), ClaimRules("i", "a", 60), Attempts(10_000), follower)
    door.start()
    try:
        assert ask(door, token("r")).subject == "ann"
        provider.publish("r", "e")

        def arrived() -> bool:
            try:
                ask(door, token("e"))
            except TokenInvalid:
                return False
            return True

        assert not arrived()
        assert wait_for(arrived)
    finally:
        door.close()


def test_starting_without_a_provider_waits_a_moment_and_refuses_all() -> None:
    follower = JwksFollower("http://127.0.0.1:9/keys", ALGORITHMS)
    door = Authenticator((), ClaimRules("i", "a", 60), Attempts(10_000), follower)
    started = time.monotonic()
    door.start()
    try:
        assert time.monotonic() - started < 5
        with pytest.raises(TokenInvalid):
            ask(door, token("r"))
    finally:
        door.close()


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  weak on purpose
UNUSABLE: dict[str, dict[str, Any]] = {
    "a secret": {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"},
    "for encryption": jwk("r", use="enc"),
    "not for verifying": jwk("r", key_ops=["encrypt"]),
    "of another algorithm": jwk("r", alg="RS512"),
    "claiming HS256": jwk("r", alg="HS256"),
    "with its private half": jwk("e", d="c2VjcmV0"),
    "garbled": jwk("r", n="!"),
    "numbered": {**jwk("r"), "kid": 5},
    "weak": jwt.algorithms.RSAAlgorithm.to_jwk(SMALL.public_key(), as_dict=True),
    "unknown": {"kty": "XYZ"},
}


@pytest.mark.parametrize("entry", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_key_that_must_not_verify_tokens_is_passed_over(entry: dict[str, Any]) -> None:
    found = usable_keys({"keys": [entry, jwk("d")]}, ALGORITHMS, NOW)
    assert [key.kid for key in found] == ["d"]


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False
