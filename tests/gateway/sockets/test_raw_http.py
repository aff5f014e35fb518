"""Raw bytes of HTTP/1 against the lane's own worker: refused at once, told as a problem, closed, and nothing else changes."""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from stagedoor.paths import StatePaths

from .conftest import MAX_BODY, Gateway, started
from .raw_cases import BAD, CANARY, CHUNKED, DATA, GOOD, PAGE, PREDICT, STALLED, Raw, chunk

pytestmark = pytest.mark.slow

READ_SECONDS = 2.0
PATH = "/models/cancer/invocations"
BEHIND = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
"""A request hidden behind a bad one: it must never be answered."""

STARTS = pytest.mark.parametrize("start", [PREDICT, PAGE], ids=["predict", "page"])


@pytest.fixture(scope="module")
def lane(house: StatePaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with started("lane", house, tmp_path_factory.mktemp("raw"), STAGEDOOR_READ_TIMEOUT_SECONDS=str(READ_SECONDS)) as running:
        yield running


@dataclass(frozen=True)
class Said:
    """All that came back until the connection was closed."""

    text: bytes
    seconds: float

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", self.text)]

    @property
    def code(self) -> str:
        head, _, body = self.text.partition(b"\r\n\r\n")
        assert b"application/problem+json" in head.lower()
        assert b"\r\nconnection: close" in head.lower()
        problem = json.loads(body)
        assert problem["status"] == self.statuses[0]
        return str(problem["code"])


def say(gateway: Gateway, data: bytes, seconds: float = 10) -> Said:
    """Send bytes, and read until the other side closes."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=seconds) as connection:
        begun = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # what it said before it stopped reading counts
            connection.sendall(data)
        return hear(connection, begun)


def hear(connection: socket.socket, begun: float) -> Said:
    text = b""
    while True:
        piece = connection.recv(65536)  # a reset here would have lost the answer: it fails the test
        if not piece:
            return Said(text, time.monotonic() - begun)
        text += piece


@STARTS
@pytest.mark.parametrize("raw", BAD, ids=lambda raw: raw.name)
def test_what_http_does_not_allow_is_refused_at_once_and_the_connection_closed(lane: Gateway, raw: Raw, start: bytes) -> None:
    workers = lane.workers()
    said = say(lane, raw.bytes(start, lane.token()) + BEHIND)
    assert (said.statuses, said.code) == ([raw.status], raw.code), said.text
    assert said.seconds < 1
    assert CANARY not in said.text
    good = lane.post(PATH, DATA)
    assert (good.status, good.seconds < 1) == (200, True)
    assert lane.workers() == workers


@STARTS
@pytest.mark.parametrize("raw", GOOD, ids=lambda raw: raw.name)
def test_what_is_unusual_and_right_is_answered(lane: Gateway, raw: Raw, start: bytes) -> None:
    last = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    said = say(lane, raw.bytes(start, lane.token()) + last)
    assert said.statuses == ([200] if b"HTTP/1.0" in raw.line else [200, 200]), said.text


@STARTS
@pytest.mark.parametrize("raw", STALLED, ids=lambda raw: raw.name)
def test_what_does_not_come_to_its_end_is_given_up_in_time(lane: Gateway, raw: Raw, start: bytes) -> None:
    said = say(lane, raw.bytes(start, lane.token()))
    assert (said.statuses, said.code) == ([raw.status], raw.code), said.text
    assert READ_SECONDS - 0.2 < said.seconds < READ_SECONDS + 1.5


DRIPS = [
    Raw("a head"),
    Raw("a body", framing=b"Content-Length: %d\r\n" % len(DATA)),
    Raw("a chunk's size", framing=CHUNKED, body=b"0" * 14 + chunk(DATA) + b"0\r\n\r\n"),
    Raw("chunks of one byte", framing=CHUNKED, body=b"".join(chunk(b"%c" % c) for c in DATA) + b"0\r\n\r\n"),
]


@STARTS
@pytest.mark.parametrize("raw", DRIPS, ids=lambda raw: raw.name)
def test_who_sends_byte_by_byte_is_given_up_in_time_and_harms_nobody(lane: Gateway, raw: Raw, start: bytes) -> None:
    data = raw.bytes(start, lane.token())
    at = 5 if raw is DRIPS[0] else len(raw.head(start, lane.token())) + 3
    others: list[tuple[int, bool]] = []
    with socket.create_connection(("127.0.0.1", lane.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.monotonic()
        connection.sendall(data[:at])
        ended = threading.Event()

        def drip() -> None:
            for byte in data[at:]:
                if ended.wait(0.3):
                    return
                with contextlib.suppress(OSError):  # it was told to stop in between
                    connection.sendall(b"%c" % byte)

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            for _ in range(5):
                good = lane.post(PATH, DATA)
                others.append((good.status, good.seconds < 1))
            said = hear(connection, begun)
        finally:
            ended.set()
            dripping.join(5)
    assert (said.statuses, said.code) == ([408], "request_timeout"), said.text
    assert READ_SECONDS - 0.2 < said.seconds < READ_SECONDS + 1.5
    assert set(others) == {(200, True)}


def test_who_says_nothing_is_closed_without_a_word(lane: Gateway) -> None:
    said = say(lane, b"")
    assert said.text == b""
    assert READ_SECONDS - 0.2 < said.seconds < READ_SECONDS + 1.5


@STARTS
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_requests_cut_anywhere_are_read_alike(lane: Gateway, start: bytes, size: int) -> None:
    chunked = Raw("", framing=CHUNKED, body=chunk(DATA[:9]) + chunk(DATA[9:]) + b"0\r\n\r\n")
    data = b"".join(raw.bytes(start, lane.token()) for raw in (chunked, GOOD[0], chunked)) + LINES_WITHOUT_END
    with socket.create_connection(("127.0.0.1", lane.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.monotonic()
        for at in range(0, len(data), size):
            connection.sendall(data[at : at + size])
        said = hear(connection, begun)
    assert said.statuses == [200, 200, 200, 400], said.text


LINES_WITHOUT_END = b"GET /livez HTTP/1.1\nHost: a\n\n"

MOST_UNREAD = 64 * 1024 * 1024
TOO_MUCH = b" " * (MAX_BODY + 1)


@STARTS
@pytest.mark.parametrize(
    "raw",
    [
        Raw("whole", body=TOO_MUCH),
        Raw("only announced", framing=b"Content-Length: 999999999999999\r\n", body=b""),
        Raw("announced, and to be asked for", framing=b"Expect: 100-continue\r\nContent-Length: 300000\r\n", body=b""),
        Raw("in one chunk", framing=CHUNKED, body=chunk(TOO_MUCH)),
        Raw("in many chunks", framing=CHUNKED, body=chunk(TOO_MUCH[:100]) * (MAX_BODY // 100 + 1)),
    ],
    ids=lambda raw: raw.name,
)
def test_a_body_over_the_limit_is_refused_before_its_end(lane: Gateway, raw: Raw, start: bytes) -> None:
    said = say(lane, raw.bytes(start, lane.token()))
    assert (said.statuses, said.code) == ([413], "body_too_large"), said.text
    assert said.seconds < 1


@STARTS
def test_who_asks_before_sending_a_body_is_told_to_go_on(lane: Gateway, start: bytes) -> None:
    raw = Raw("", framing=b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n" % len(DATA))
    with socket.create_connection(("127.0.0.1", lane.port), timeout=10) as connection:
        begun = time.monotonic()
        connection.sendall(raw.head(start, lane.token()))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(DATA)
        assert hear(connection, begun).statuses == [200]


def send_until_stuck(connection: socket.socket, one: bytes) -> int:
    """Send the same request again and again, until nothing goes out any more; how many bytes did."""
    many, sent = one * 200, 0
    connection.settimeout(0.7)
    with contextlib.suppress(TimeoutError):
        while sent < MOST_UNREAD:
            sent += connection.send(many[sent % len(one) :])
    connection.settimeout(10)
    return sent


def test_who_does_not_read_is_not_read_from_and_loses_no_answer(lane: Gateway) -> None:
    one = GOOD[0].bytes(PREDICT, lane.token())
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.connect(("127.0.0.1", lane.port))
        connection.sendall(one)
        size = len(connection.recv(65536))  # of each answer
        sent = send_until_stuck(connection, one)
        assert sent < MOST_UNREAD
        asked, got = sent // len(one), 0
        while got < asked * size:
            got += len(connection.recv(1 << 20))
        connection.sendall((one + BEHIND.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))[sent % len(one) :])
        assert got == asked * size
        assert hear(connection, time.monotonic()).statuses == [200, 200]


def test_the_body_of_a_head_request_is_not_taken_for_a_request(lane: Gateway) -> None:
    data = GOOD[0].bytes(b"HEAD /livez", lane.token()).replace(DATA, BEHIND.ljust(len(DATA)))
    said = say(lane, data + b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert said.statuses == [200, 404], said.text


def test_a_bad_request_behind_good_ones_leaves_their_answers_whole(lane: Gateway) -> None:
    good = GOOD[0].bytes(PREDICT, lane.token())
    page = GOOD[0].bytes(PAGE, lane.token())
    for raw in BAD[::9]:
        said = say(lane, good + page + good + raw.bytes(PREDICT, lane.token()) + BEHIND)
        assert said.statuses == [200, 200, 200, raw.status], raw.name


def test_neither_logs_nor_series_grow_with_what_is_refused(lane: Gateway) -> None:
    def send() -> None:
        for raw in BAD:
            for start in (PREDICT, PAGE):
                say(lane, raw.bytes(start, "no-token-" + CANARY.decode()))

    send()  # both workers have now seen every kind of refusal
    time.sleep(0.5)
    before = lane.series()
    send()
    time.sleep(0.5)
    assert lane.series() == before
    log = lane.log.read_text()
    assert CANARY.decode() not in log
    assert "Traceback" not in log
