"""The open-loop driver, compiled and run as it is in a benchmark, against a real socket server that answers as it is told."""

import itertools
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.bench.open_loop import compiled, drive
from tests.unit.bench.answering import CHUNKED, CLOSING, FEW, OK, SHED, Answer, plan, sent_to, serving

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the driver needs a C compiler")


@pytest.mark.parametrize(
    ("answer", "ok", "shed", "other", "broken"),
    [
        (lambda _: OK, 40, 0, {}, 0),
        (lambda _: SHED, 0, 40, {}, 0),
        (lambda n: SHED if n % 2 else OK, 20, 20, {}, 0),
        (lambda _: SHED.replace(b"Retry-After: 1\r\n", b""), 0, 0, {"503": 40}, 0),
        (lambda _: OK.replace(b"200 OK", b"429 No"), 0, 0, {"429": 40}, 0),
        (lambda n: OK.replace(b"200 OK", b"429 No" if n % 4 else b"500 Oh"), 0, 0, {"429": 30, "500": 10}, 0),
        (lambda _: CLOSING, 40, 0, {}, 0),
        (lambda _: CHUNKED, 40, 0, {}, 0),
        (lambda _: b"", 0, 0, {}, 40),
        (lambda _: [OK[:-1], b""], 0, 0, {}, 40),
        (lambda _: OK.replace(b"Content-Length: 2", b"Content-Type: a/b"), 0, 0, {}, 40),
        (lambda _: OK.replace(b": 2", b": two"), 0, 0, {}, 40),
        (lambda _: CHUNKED.replace(b"2\r\n", b"x\r\n"), 0, 0, {}, 40),
        (lambda _: CHUNKED.replace(b"hi\r\n", b"high"), 0, 0, {}, 40),
        (lambda _: b"SSH-2.0-something\r\n\r\n", 0, 0, {}, 40),
    ],
    ids=[
        "ok",
        "shed",
        "both",
        "503 without Retry-After",
        "other",
        "others",
        "closing",
        "chunked",
        "hung up",
        "hung up within an answer",
        "an answer without an end",
        "a length that is none",
        "a chunk without a length",
        "a chunk longer than it says",
        "no HTTP",
    ],
)
def test_each_request_is_counted_once_by_what_came_of_it(
    answer: Answer, ok: int, shed: int, other: dict[str, int], broken: int
) -> None:
    found = sent_to(answer)
    assert (found.ok, found.shed, found.other, found.broken, found.unanswered) == (ok, shed, other, broken, 0)
    assert (found.done, found.failed) == (40, 40 - ok)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        OK.replace(b"Content-Length", b"CONTENT-length"),
        OK.replace(b": ", b":"),
        OK.replace(b"Content-Length: 2", b"Content-Type: a/b\r\ncontent-length:2"),
        OK.replace(b"2\r\n\r\nhi", b"0\r\n\r\n"),
        CHUNKED,
        CHUNKED.replace(b"Transfer-Encoding: chunked", b"transfer-encoding: Chunked"),
        CHUNKED.replace(b"2\r\nhi", b"1;some=extension\r\nh\r\n1\r\ni"),
        CHUNKED.replace(b"2\r\nhi", b"a\r\n\r\n0\r\n\r\nhey"),
        CHUNKED.replace(b"0\r\n\r\n", b"0\r\nSome: trailer\r\nAnother: one\r\n\r\n"),
    ],
)
def test_an_answer_ends_where_its_head_or_its_chunks_say_and_not_before(answer: bytes) -> None:
    """Byte by byte over one connection: were the end seen too early, the rest would spoil the next answer."""
    found = sent_to(lambda _: [bytes([one]) for one in answer], **FEW)
    assert (found.ok, found.broken) == (3, 0)


@settings(max_examples=15, deadline=None)
@given(cuts=st.sets(st.integers(1, len(CHUNKED) - 1), max_size=4), first=st.sampled_from([OK, SHED, CHUNKED]))
def test_it_does_not_matter_into_which_parts_answers_are_cut(cuts: set[int], first: bytes) -> None:
    def parts(whole: bytes) -> list[bytes]:
        ends = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
        return [whole[start:stop] for start, stop in itertools.pairwise(ends)]

    found = sent_to(lambda n: parts(CHUNKED if n else first), **FEW)
    assert (found.ok, found.shed, found.failed) == ((2, 1, 1) if first == SHED else (3, 0, 0))


def test_long_requests_and_long_answers_come_whole() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
    found = sent_to(lambda n: [long[:30_000], long[30_000:]] if n % 2 else long, body=b"y" * 20_000)
    assert (found.ok, found.failed) == (40, 0)


def test_latency_counts_from_the_due_time_and_not_from_the_sending() -> None:
    def slow(_: int) -> bytes:
        time.sleep(0.1)
        return OK

    found = sent_to(slow, per_second=50, seconds=0.2, connections=1, most=1)
    # 10 requests, due within 0.2 s, one at a time over 1 s: the last one has waited for the nine before it.
    assert found.ok == 10
    assert found.ok_us[3] >= (10 * 0.1 - 0.2) * 1e6
    assert found.ok_us[0] >= 0.3e6
    assert (found.done, found.sent <= 20) == (10, True)  # three or so by the time the last one was due, of 50/s


def test_percentiles_are_those_of_all_latencies() -> None:
    """Of 50 answers one after another, the 26th is the median and the last one what all others are up to."""
    moments: list[float] = []

    def note(_: int) -> bytes:
        time.sleep(0.004)
        moments.append(time.monotonic())
        return OK

    found = sent_to(note, per_second=5000, seconds=0.01, connections=1, most=1)
    assert found.ok == 50
    # All are due within 10 ms: answers come as far apart as they were given, but for some time on their way.
    median, last = (moments[25] - moments[0]) * 1e6, (moments[49] - moments[0]) * 1e6
    p50, p99, p999, longest = found.ok_us
    assert p99 == p999 == longest
    assert longest - p50 == pytest.approx(last - median, abs=0.4 * (last - median))
    assert found.late_us[0] == found.late_us[3] > 0  # only the first one had a connection


@pytest.mark.parametrize(("early", "late"), [(OK, SHED), (SHED, OK)])
def test_good_answers_to_what_was_due_after_the_first_second_are_told_by_themselves(early: bytes, late: bytes) -> None:
    found = sent_to(lambda n: early if n < 10 else late, per_second=10, seconds=1.2)
    assert (found.ok, found.shed) == ((10, 2) if early == OK else (2, 10))
    assert found.ok_later_us == ((0, 0, 0, 0) if early == OK else found.ok_us)


def test_there_are_no_percentiles_of_answers_that_there_were_none_of() -> None:
    found = sent_to(lambda _: SHED)
    assert found.ok_us == (0, 0, 0, 0)
    assert 0 < found.shed_us[0] <= found.shed_us[1] <= found.shed_us[2] <= found.shed_us[3]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        CHUNKED.replace(b"2\r\nhi", b"fffff\r\nhi"),
        b"HTTP/1.1 200 OK\r\n" + b"X-Padding: 0123456789\r\n" * 3000,
    ],
    ids=["length", "enormous length", "chunk", "head"],
)
def test_an_answer_longer_than_the_driver_takes_is_refused(answer: bytes) -> None:
    with pytest.raises(RuntimeError, match="longer than the 64 kB"):
        sent_to(lambda _: answer)


def test_a_request_longer_than_the_driver_takes_is_refused() -> None:
    with pytest.raises(RuntimeError, match="at most 8 MB"):
        drive(plan(1, body=b"x" * 8_400_000))


def test_at_its_deadline_it_ends_and_says_why() -> None:
    with subprocess.Popen(
        [compiled(), "127.0.0.1", "1", "1", "1", "1", "1", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as driver:  # which waits for its request
        try:
            until = time.monotonic() + 10
            while not _catches(driver.pid, signal.SIGALRM):
                assert time.monotonic() < until
                time.sleep(0.005)
            driver.send_signal(signal.SIGALRM)  # as the kernel does then
            assert driver.wait(10) == 2
        finally:
            driver.kill()
        assert driver.stderr
        assert b"not carry out its plan in time" in driver.stderr.read()


def _catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


def test_rates_and_its_own_cost_are_told() -> None:
    found = sent_to(lambda _: OK)
    assert found.wanted == 200
    assert 0 < found.sent <= 200
    assert found.cpu_us > 0
    assert 0 < found.late_us[0] <= found.late_us[3]


def test_what_it_finds_is_one_line_of_json() -> None:
    with serving(lambda _: OK) as port:
        asked = plan(port)
        command = [compiled(), asked.host, str(port), "100", "0.05", "1", "1", "1"]
        told = subprocess.run(command, input=asked.request.encode(), capture_output=True, timeout=30, check=True)
    assert told.stderr == b""
    assert json.loads(told.stdout)["ok"] == 5
