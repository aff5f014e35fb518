"""Nudges against real listeners on loopback: they coalesce, they never wait, and their failures are only logged."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import structlog

from stagedoor.auth import build_authenticator
from stagedoor.errors import ConfigurationError
from stagedoor.mlflow_app.nudges import Nudger
from stagedoor.settings import Settings


class Gateway:
    """Takes nudges; can be told to hold them up, and which status to answer."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.status = 202
        self.open = threading.Event()
        self.open.set()
        self.came = threading.Semaphore(0)
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                gateway.tokens.append(self.headers["Authorization"])
                gateway.came.release()
                gateway.open.wait(10)
                self.send_response(gateway.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/nudge"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    yield from listening(Gateway())


@pytest.fixture
def other() -> Iterator[Gateway]:
    yield from listening(Gateway())


def listening(it: Gateway) -> Iterator[Gateway]:
    thread = threading.Thread(target=it.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield it
    it.open.set()
    it.server.shutdown()
    it.server.server_close()
    thread.join(10)


def settings(*urls: str) -> Settings:
    return Settings(token_secret="s" * 40, nudge_urls=urls)


def test_a_nudge_reaches_the_gateway_with_a_promoters_token(gateway: Gateway) -> None:
    ours = settings(gateway.url)
    nudger = Nudger.from_settings(ours)
    nudger.start()
    try:
        nudger.nudge()
        assert gateway.came.acquire(timeout=10)
    finally:
        nudger.close()
    principal = build_authenticator(ours).authenticate(gateway.tokens[0], now=time.time())
    assert "promoter" in principal.roles
    assert principal.models == ()
    assert principal.expires_at < time.time() + 301


def test_nudges_that_wait_become_one(gateway: Gateway) -> None:
    gateway.open.clear()
    nudger = Nudger.from_settings(settings(gateway.url))
    nudger.start()
    try:
        nudger.nudge()
        assert gateway.came.acquire(timeout=10)
        started = time.monotonic()
        for _ in range(1000):
            nudger.nudge()
        assert time.monotonic() - started < 1
        gateway.open.set()
        assert gateway.came.acquire(timeout=10)
        assert not gateway.came.acquire(timeout=0.3)
    finally:
        nudger.close()
    assert len(gateway.tokens) == 2


def test_a_controller_that_hangs_keeps_no_gateway_waiting(gateway: Gateway, other: Gateway) -> None:
    other.open.clear()
    nudger = Nudger.from_settings(settings(other.url, gateway.url))
    nudger.start()
    try:
        for _ in range(3):
            began = time.monotonic()
            nudger.nudge()
            assert gateway.came.acquire(timeout=10)
            assert time.monotonic() - began < 1.5
    finally:
        other.open.set()
        nudger.close()
    assert 1 <= len(other.tokens) <= 2


def test_a_gateway_that_is_down_holds_up_neither_the_others_nor_anybody(gateway: Gateway) -> None:
    nudger = Nudger.from_settings(settings("http://127.0.0.1:9/nudge", gateway.url))
    with structlog.testing.capture_logs() as lines:
        nudger.start()
        try:
            nudger.nudge()
            assert gateway.came.acquire(timeout=10)
        finally:
            nudger.close()
    assert [line["where"] for line in lines if line["event"] == "nudge_failed"] == ["127.0.0.1:9"]


def test_a_gateway_that_refuses_is_logged(gateway: Gateway) -> None:
    gateway.status = 401
    nudger = Nudger.from_settings(settings(gateway.url))
    with structlog.testing.capture_logs() as lines:
        nudger.start()
        nudger.nudge()
        assert gateway.came.acquire(timeout=10)
        nudger.close()
    assert [line["status"] for line in lines if line["event"] == "nudge_refused"] == [401]


def test_without_addresses_there_is_no_thread_and_no_token(tmp_path: Path) -> None:
    nudger = Nudger.from_settings(Settings(state_dir=tmp_path / "state"))
    nudger.start()
    nudger.nudge()
    nudger.close()
    assert not (tmp_path / "state").exists()


def test_addresses_without_a_secret_to_sign_with_refuse_to_start() -> None:
    ours = Settings(token_jwks_url="https://idp.example/keys", nudge_urls=("http://127.0.0.1:9/nudge",))
    with pytest.raises(ConfigurationError, match="STAGEDOOR_TOKEN_SECRET"):
        Nudger.from_settings(ours)
