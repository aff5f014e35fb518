"""TLS ends in the gateway itself: what holds on a plain connection holds on an encrypted one."""

import json
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stagedoor.paths import StatePaths

from .certificate import Certificate, make_certificate
from .conftest import Answer, Gateway, read_answer, started
from .raw_cases import BAD, CHUNKED, DATA, GOOD, PAGE, PREDICT, Raw, chunk

pytestmark = pytest.mark.slow

READ_SECONDS = 2.0
PATH = "/models/cancer/invocations"
LAST = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
TOO_MUCH = b" " * 3_000_001
STARTS = pytest.mark.parametrize("start", [PREDICT, PAGE], ids=["predict", "page"])
ASKED_ALIKE = pytest.mark.parametrize("gateway", ["lane", "stock"], indirect=True, scope="module")
OF_THE_LANE = pytest.mark.parametrize("gateway", ["lane"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def gateway(
    request: pytest.FixtureRequest, house: StatePaths, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway that speaks TLS alone."""
    with started(
        request.param,
        house,
        tmp_path_factory.mktemp("tls"),
        certificate.trust(),
        GUNICORN_CMD_ARGS=certificate.options,
        STAGEDOOR_READ_TIMEOUT_SECONDS=str(READ_SECONDS),
        STAGEDOOR_MAX_BODY_BYTES=str(len(TOO_MUCH) - 1),
        STAGEDOOR_MAX_ROWS="20000",
        STAGEDOOR_LOAD_WAIT_SECONDS="20",  # one of the two workers may be later than the other
        STAGEDOOR_PREDICT_TIMEOUT_SECONDS="20",
    ) as running:
        yield running


def hear(connection: socket.socket) -> bytes:
    """All that comes until the other side says goodbye; an end without a goodbye raises."""
    text = b""
    while piece := connection.recv(65536):
        text += piece
    return text


def statuses(text: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", text)]


def doubled(gateway: Gateway, amount: float) -> Answer:
    return gateway.post("/models/moody/invocations", {"dataframe_split": {"columns": ["amount"], "data": [[amount]]}})


@ASKED_ALIKE
def test_a_prediction_is_answered(gateway: Gateway) -> None:
    answer = doubled(gateway, 21.5)
    assert (answer.status, answer.json().get("predictions")) == (200, [{"doubled": 43.0}]), answer.body
    with gateway.connect() as connection:
        assert isinstance(connection, ssl.SSLSocket)
        assert connection.version() in {"TLSv1.2", "TLSv1.3"}


@ASKED_ALIKE
def test_a_caller_who_does_not_trust_the_certificate_says_nothing(gateway: Gateway, tmp_path: Path) -> None:
    other = make_certificate(tmp_path).trust()
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        other.wrap_socket(plain, server_hostname="127.0.0.1")
    assert doubled(gateway, 1.0).status == 200


@ASKED_ALIKE
def test_one_connection_serves_several_requests(gateway: Gateway) -> None:
    page = GOOD[0].bytes(PAGE, gateway.token())
    with gateway.connect() as connection:
        for request in (GOOD[0].bytes(PREDICT, gateway.token()), page, GOOD[0].bytes(PREDICT, gateway.token())):
            connection.sendall(request)
            answer = read_answer(connection, time.monotonic())
            assert (answer.status, "connection" in answer.headers) == (200, False)
        connection.sendall(LAST)
        assert statuses(hear(connection)) == [200]


@OF_THE_LANE
@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_requests_cut_anywhere_are_answered_in_order(gateway: Gateway, size: int) -> None:
    chunked = Raw("", framing=CHUNKED, body=chunk(DATA[:9]) + chunk(DATA[9:]) + b"0\r\n\r\n").bytes(PREDICT, gateway.token())
    data = chunked + GOOD[0].bytes(PAGE, gateway.token()) + chunked + LAST
    with gateway.connect() as connection:
        for at in range(0, len(data), size):
            connection.sendall(data[at : at + size])
        assert statuses(hear(connection)) == [200, 200, 200, 200]


@ASKED_ALIKE
@pytest.mark.parametrize("sent", [LAST, b"x" * 20_000], ids=["a request", "noise"])
def test_who_speaks_no_tls_is_not_answered(gateway: Gateway, sent: bytes) -> None:
    workers = gateway.workers()
    heard = b""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        try:
            connection.sendall(sent)
            heard = hear(connection)
        except ConnectionError:  # some of it was never read
            pass
    assert b"HTTP" not in heard
    assert doubled(gateway, 1.0).status == 200
    assert gateway.workers() == workers
    assert "Traceback" not in gateway.log.read_text()


@OF_THE_LANE
@STARTS
def test_a_head_that_comes_too_slowly_is_given_up(gateway: Gateway, start: bytes) -> None:
    with gateway.connect() as connection:
        connection.sendall(GOOD[0].head(start, gateway.token())[:-4])
        begun = time.monotonic()
        assert statuses(hear(connection)) == [408]
        assert READ_SECONDS - 0.2 < time.monotonic() - begun < READ_SECONDS + 3


@OF_THE_LANE
@STARTS
def test_what_is_refused_is_told_and_the_connection_closed(gateway: Gateway, start: bytes) -> None:
    large = [Raw("whole", body=TOO_MUCH), Raw("in one chunk", framing=CHUNKED, body=chunk(TOO_MUCH))]
    for raw, status in [(raw, 413) for raw in large] + [(raw, raw.status) for raw in BAD[::40]]:
        with gateway.connect() as connection:
            connection.sendall(raw.bytes(start, gateway.token()))
            assert statuses(hear(connection)) == [status], raw.name


@ASKED_ALIKE
def test_a_large_answer_comes_whole_to_who_reads_slowly(gateway: Gateway) -> None:
    body = json.dumps({"inputs": [[float(n % 17) for n in range(64)]] * 6_000}).encode()
    head = f"POST /models/digits/invocations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {gateway.token()}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    whole = gateway.send(request)
    assert (whole.status, len(whole.body) > 1_000_000) == (200, True), whole.body[:500]
    with gateway.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.sendall(request)
        time.sleep(1)  # all buffers on the way are full by now
        heard = b""
        while len(heard) < len(whole.body):
            heard += connection.recv(65_536)
            time.sleep(0.005)
        body = heard.partition(b"\r\n\r\n")[2]
        while len(body) < len(whole.body):
            body += connection.recv(65_536)
        assert body == whole.body
        connection.sendall(LAST)
        assert statuses(hear(connection)) == [200]


@pytest.mark.parametrize("kind", ["lane", "stock"])
def test_sigterm_ends_it_behind_the_last_answer(kind: str, house: StatePaths, certificate: Certificate, tmp_path: Path) -> None:
    changes = {
        "GUNICORN_CMD_ARGS": certificate.options,
        "STAGEDOOR_PREDICT_TIMEOUT_SECONDS": "20",
        "STAGEDOOR_LOAD_WAIT_SECONDS": "20",
    }
    slow = json.dumps({"dataframe_split": {"columns": ["amount"], "data": [[668.0]]}}).encode()
    with (
        started(kind, house, tmp_path, certificate.trust(), **changes) as gateway,
        socket.create_connection(("127.0.0.1", gateway.port), 20) as silent,  # it never begins with TLS
    ):
        head = f"POST /models/moody/invocations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {gateway.token()}\r\n"
        with gateway.connect(30) as connection:
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(slow)}\r\n\r\n".encode() + slow)
            time.sleep(1)
            os.kill(gateway.pid, signal.SIGTERM)
            answer = read_answer(connection, time.monotonic())
            assert (answer.status, answer.json().get("predictions")) == (200, [{"doubled": 1336.0}]), answer.body
            if kind == "lane":
                assert answer.headers["connection"] == "close"
                assert hear(connection) == b""
        assert exit_status(gateway.pid, 15) == 0  # graceful_timeout is 30
        assert silent.recv(1) == b""


def test_who_does_not_close_too_does_not_hold_up_the_end(house: StatePaths, certificate: Certificate, tmp_path: Path) -> None:
    with (
        started("lane", house, tmp_path, certificate.trust(), GUNICORN_CMD_ARGS=certificate.options) as gateway,
        gateway.connect(30) as silent,
        gateway.connect(30) as idle,
    ):
        idle.sendall(GOOD[0].bytes(PAGE, gateway.token()))
        assert read_answer(idle, time.monotonic()).status == 200
        os.kill(gateway.pid, signal.SIGTERM)
        assert exit_status(gateway.pid, 20) == 0  # graceful_timeout is 30, and so is what asyncio waits for a goodbye
        assert (hear(silent), hear(idle)) == (b"", b"")


def exit_status(pid: int, seconds: float) -> int:
    """A child's, which is left to be waited for by who started it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            assert ended.si_code == os.CLD_EXITED
            return ended.si_status
        time.sleep(0.05)
    raise AssertionError(f"still there after {seconds} s")
