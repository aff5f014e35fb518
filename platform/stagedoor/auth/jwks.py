"""Following the JWKS address of an identity provider (RFC 7517) in a thread of its own, never on a request's path."""

import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stagedoor.auth.keys import ASYMMETRIC, PublicKey, VerificationKey, algorithm_of
from stagedoor.errors import ConfigurationError
from stagedoor.telemetry import get_logger

REFRESH_SECONDS: Final = 300.0
MIN_GAP_SECONDS: Final = 30.0
STALE_SECONDS: Final = 24 * 3600.0
FETCH_SECONDS: Final = 10.0
FIRST_WAIT_SECONDS: Final = 3.0
MAX_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 64
_WHERE: Final = "STAGEDOOR_TOKEN_JWKS_URL"


class Subscriber(Protocol):
    """Takes over the keys of each good fetch; `changed` says whether any came or went."""

    def __call__(self, published: tuple[VerificationKey, ...], *, changed: bool) -> None:
        """Called after each good fetch."""


class JwksUnusable(Exception):
    """A fetch that brought no keys; the old ones stay. Never leaves this module."""


def check_jwks_url(url: str) -> str:
    """Return `url` if it may be asked for keys, else raise ConfigurationError. Loopback is allowed."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{_WHERE} must be an http or https address.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{_WHERE} must not carry a user name or password: key sets are public.")
    try:
        address = ipaddress.ip_address(parts.hostname.partition("%")[0])
    except ValueError:
        return url
    if _is_off_limits(address):
        raise ConfigurationError(f"{_WHERE} points to a link-local or otherwise unusable address. Name your identity provider.")
    return url


def usable_keys(document: object, accepted: Collection[str], valid_until: float) -> tuple[VerificationKey, ...]:
    """The signature keys of a JWKS document; keys of other kinds or uses are passed over. Raises JwksUnusable without any."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise JwksUnusable("the answer is no key set")
    found = [_parse_key(entry, accepted, valid_until) for entry in entries if isinstance(entry, dict)]
    keys = tuple(key for key in found if key is not None)
    if not keys:
        raise JwksUnusable("the key set has no usable key")
    return keys


class JwksFollower:
    """Fetches at start, every five minutes, and when woken; never more often than every 30 seconds.

    After a failed fetch the last good keys go on until they are a day old.
    """

    def __init__(
        self, url: str, accepted: Collection[str], *, clock: Callable[[], float] = time.time, gap: float = MIN_GAP_SECONDS
    ) -> None:
        self._url = url
        self._accepted = frozenset(accepted) & set(ASYMMETRIC)
        self._clock = clock
        self._gap = gap
        self._subscribers: list[Subscriber] = []
        self._fingerprint: tuple[Any, ...] = ()
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._attempted = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = get_logger(jwks_host=urlsplit(url).hostname)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell `subscriber` of each good fetch, from the follower's thread."""
        self._subscribers.append(subscriber)

    def start(self) -> None:
        """Start the thread, and wait up to three seconds for its first attempt."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="jwks", daemon=True)
            self._thread.start()
            self._attempted.wait(FIRST_WAIT_SECONDS)

    def close(self) -> None:
        """End the thread; a running fetch is waited for one second and then left to its own deadline."""
        self._closed.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def wake(self) -> None:
        """Ask for a fetch as soon as one is due. Costs nothing, never waits."""
        self._wanted.set()

    def refresh(self) -> None:
        """Fetch once, and publish what came. Failures are logged and leave everything as it is."""
        try:
            keys = usable_keys(fetch_json(self._url), self._accepted, self._clock() + STALE_SECONDS)
        except (JwksUnusable, OSError) as error:  # RequestException is an OSError
            self._log.warning(
                "jwks_fetch_failed", reason=str(error) if isinstance(error, JwksUnusable) else type(error).__name__
            )
            return
        fingerprint = tuple((key.kid, key.algorithm, _numbers(key)) for key in keys)
        changed, self._fingerprint = fingerprint != self._fingerprint, fingerprint
        for subscriber in self._subscribers:
            subscriber(keys, changed=changed)
        if changed:
            self._log.info("jwks_keys_changed", keys=len(keys))

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wanted.clear()
            self.refresh()
            self._attempted.set()
            if self._closed.wait(self._gap):
                return
            self._wanted.wait(max(0.0, REFRESH_SECONDS - self._gap))


def fetch_json(url: str) -> object:
    """GET a JSON document without following redirects, bounded in bytes and seconds. Raises JwksUnusable, RequestException."""
    import requests  # noqa: PLC0415  a gateway that follows no key set does without

    _check_resolved(url)
    deadline = time.monotonic() + FETCH_SECONDS
    with requests.Session() as session:
        # An explicit no-op keeps requests from adding credentials of a netrc file.
        session.auth = lambda request: request
        options: dict[str, Any] = {"allow_redirects": False, "stream": True, "timeout": (3.05, 5)}
        with session.get(url, headers={"Accept": "application/json", "Accept-Encoding": "identity"}, **options) as response:
            if response.status_code != requests.codes.ok:
                raise JwksUnusable(f"the answer has the status {response.status_code}")
            body = bytearray()
            # `read1` hands over what has come, where `iter_content` would wait for a full chunk of a trickle.
            while chunk := response.raw.read1(8192):
                body += chunk
                if len(body) > MAX_BYTES or time.monotonic() > deadline:
                    raise JwksUnusable("the answer is too large or too slow")
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise JwksUnusable("the answer is not JSON") from error


def _check_resolved(url: str) -> None:
    """A name must not lead where a literal address may not."""
    parts = urlsplit(url)
    for *_, address in socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM):
        if _is_off_limits(ipaddress.ip_address(str(address[0]).partition("%")[0])):
            raise JwksUnusable("the host has a link-local or otherwise unusable address")


def _is_off_limits(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    effective = mapped or address
    return effective.is_link_local or effective.is_unspecified or effective.is_multicast


def _parse_key(entry: dict[str, Any], accepted: Collection[str], valid_until: float) -> VerificationKey | None:
    """A key of another kind, use or strength is not an error: providers publish keys for others too."""
    operations = entry.get("key_ops")
    verifies = not isinstance(operations, list) or "verify" in operations
    if entry.get("kty") == "oct" or "d" in entry or entry.get("use", "sig") != "sig" or not verifies:
        return None
    try:
        material = jwt.PyJWK(entry).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    algorithm = algorithm_of(material)
    if algorithm is None or algorithm not in accepted or entry.get("alg", algorithm) != algorithm:
        return None
    kid = entry.get("kid")
    if not isinstance(material, PublicKey) or not isinstance(kid, str | None):
        return None
    return VerificationKey(algorithm, material, kid, valid_until)


def _numbers(key: VerificationKey) -> object:
    """What makes two public keys the same key."""
    if isinstance(key.material, bytes):
        return key.material
    return key.material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
