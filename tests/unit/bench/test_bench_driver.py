"""The open-loop driver, compiled and run as it is in a benchmark, against a real socket server that answers as it is told."""

import itertools
import json
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.bench.open_loop import FLAGS, SOURCES, Found, Plan, compiled, drive, request_bytes
from tests.benchmarks.bench.rounds import FAILURES

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the driver needs a C compiler")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
SHED = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno"
CLOSING = OK.replace(b"Content-Length", b"Connection: close\r\ncontent-length")
LARGE = b"z" * 6_000_000
"""More than the kernel takes at once."""
FEW = {"per_second": 100.0, "seconds": 0.03, "connections": 1, "most": 1}
Answer = Callable[[int], bytes | list[bytes]]


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """A server whose n-th request, whatever it is, gets `answer(n)`, part by part; empty bytes end the connection."""
    numbers = itertools.count()

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            try:
                while self.one():
                    pass
            except OSError:
                return  # a driver that refuses an answer does not wait for the rest of it

        def one(self) -> bool:
            line, length = self.rfile.readline(), 0
            if not line:
                return False
            while line.strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                line = self.rfile.readline()
            self.rfile.read(length)
            told = answer(next(numbers))
            parts = [told] if isinstance(told, bytes) else told
            for part in parts:
                self.wfile.write(part)
                if len(parts) > 1:
                    time.sleep(0.001)
            return all(parts) and b"Connection: close" not in b"".join(parts)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join(10)


@contextmanager
def peer(run: Callable[[socket.socket], None], buffer: int = 0) -> Iterator[int]:
    """A server that does what `run` does with its listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        thread = threading.Thread(target=run, args=(listener,), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(10)


def accepted(listener: socket.socket) -> socket.socket:
    taken = listener.accept()[0]
    taken.settimeout(5)
    return taken


def plan(
    port: int, *, per_second: float = 200, seconds: float = 0.2, connections: int = 4, most: int = 8, body: bytes = b"{}"
) -> Plan:
    request = request_bytes(f"http://127.0.0.1:{port}/x?y=1", body, {"Content-Type": "application/json"})
    return Plan("127.0.0.1", port, request.decode("latin-1"), per_second, seconds, connections, most)


def sent_to(answer: Answer, *, patience: float = 10, **how: float | bytes) -> Found:
    with serving(answer) as port:
        return drive(plan(port, **how), patience)  # type: ignore[arg-type]


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


def test_a_request_that_the_server_is_slow_to_take_is_sent_on_when_there_is_room() -> None:
    asked = plan(1, per_second=1, seconds=1, connections=1, most=1, body=LARGE)
    got = bytearray()

    def take(listener: socket.socket) -> None:
        with accepted(listener) as taken:
            while len(got) < len(asked.request):
                got.extend(taken.recv(1_000_000))
            taken.sendall(OK)

    with peer(take, buffer=4096) as port:
        found = drive(replace(asked, port=port))
    assert (found.ok, bytes(got)) == (1, asked.request.encode("latin-1"))


def test_latency_counts_from_the_due_time_and_not_from_the_sending() -> None:
    def slow(_: int) -> bytes:
        time.sleep(0.1)
        return OK

    found = sent_to(slow, per_second=50, seconds=0.2, connections=1, most=1)
    # 10 requests, due within 0.2 s, one at a time over 1 s: the last one has waited for the nine before it.
    assert found.ok == 10
    assert found.ok_us[3] >= (10 * 0.1 - 0.2) * 1e6
    assert found.ok_us[0] >= 0.3e6


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


def test_there_are_no_percentiles_of_answers_that_there_were_none_of() -> None:
    found = sent_to(lambda _: SHED)
    assert found.ok_us == (0, 0, 0, 0)
    assert 0 < found.shed_us[0] <= found.shed_us[1] <= found.shed_us[2] <= found.shed_us[3]


def test_more_connections_are_opened_when_none_is_free() -> None:
    together = threading.Barrier(6)

    def meet(_: int) -> bytes:
        together.wait(10)
        return OK

    found = sent_to(meet, per_second=300, seconds=0.02, connections=1, most=6)
    assert (found.ok, found.unanswered) == (6, 0)


def test_no_more_connections_are_opened_than_may_be() -> None:
    most, now, lock = [0], [0], threading.Lock()

    def count(_: int) -> bytes:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return OK

    found = sent_to(count, per_second=2000, seconds=0.02, connections=0, most=3)
    assert (found.ok, most[0]) == (40, 3)


def test_the_connection_that_was_freed_last_is_taken_first() -> None:
    used = []

    def serve(taken: socket.socket) -> None:
        with taken:
            while taken.recv(9999):
                used.append(taken.fileno())
                taken.sendall(OK)

    def accept(listener: socket.socket) -> None:
        threads = [threading.Thread(target=serve, args=(accepted(listener),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    for _ in range(5):
        used.clear()
        with peer(accept) as port:
            found = drive(plan(port, per_second=20, seconds=0.3, connections=4, most=4))
        if found.ok_us[3] < 1e6 / 20:  # else two were on their way at once: the machine was busy
            break
    assert found.ok == 6
    assert len(set(used)) == 1


def test_answers_that_do_not_come_are_unanswered_and_so_is_what_waits_for_them() -> None:
    end = threading.Event()

    def never(number: int) -> bytes:
        if number:
            end.wait(10)
        return OK

    with serving(never) as port:
        found = drive(plan(port, per_second=100, seconds=0.05, connections=1, most=2), patience=1)
        end.set()
    assert (found.ok, found.unanswered, found.broken) == (1, 4, 0)
    assert found.done == 3  # two of the four were never sent


def test_an_answer_to_half_a_request_counts_and_ends_its_connection() -> None:
    taken: list[socket.socket] = []

    def refuse(listener: socket.socket) -> None:
        for _ in range(3):
            taken.append(accepted(listener))
            taken[-1].recv(10)
            taken[-1].sendall(SHED)

    with peer(refuse, buffer=4096) as port:
        found = drive(plan(port, per_second=50, seconds=0.06, connections=0, most=1, body=LARGE), patience=5)
    for one in taken:
        one.close()
    assert (found.shed, found.broken, len(taken)) == (3, 0, 3)


def test_a_server_that_accepts_nothing_is_told_of() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RuntimeError, match="accepts no connection: Connection refused"):
            drive(plan(taken.getsockname()[1]))


def test_requests_fail_whose_new_connection_is_refused() -> None:
    def serve(listener: socket.socket) -> None:
        with accepted(listener) as taken:
            listener.close()
            taken.recv(9999)
            taken.sendall(CLOSING)

    with peer(serve) as port:
        found = drive(plan(port, connections=1))
    assert (found.ok, found.broken, found.unanswered) == (1, 39, 0)


def test_what_a_server_says_before_it_closes_an_idle_connection_is_no_answer() -> None:
    def serve(listener: socket.socket) -> None:
        with accepted(listener) as idle, accepted(listener) as asked:
            idle.sendall(OK.replace(b"200", b"408"))
            idle.close()
            asked.recv(9999)
            asked.sendall(OK)

    with peer(serve) as port:
        found = drive(plan(port, connections=2, most=2, per_second=1, seconds=1))
    assert (found.ok, found.other, found.broken) == (1, {}, 0)


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


def test_too_many_connections_for_the_limit_of_open_files_is_said() -> None:
    with serving(lambda _: OK) as port:
        asked = plan(port)
        command = ["sh", "-c", 'ulimit -n 10; exec "$@"', "sh", compiled(), asked.host, str(port), "10", "1", "20", "20", "1"]
        told = subprocess.run(command, input=asked.request.encode(), capture_output=True, timeout=30, check=False)
    assert told.returncode == 1
    assert b"ulimit -n" in told.stderr


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


def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    command = ["cc", *FLAGS, "-Werror", "-o", tmp_path / "driver", SOURCES[0]]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stderr) == (0, "")


def test_it_is_compiled_once(tmp_path: Path) -> None:
    program = compiled(tmp_path / "new")
    made = program.stat().st_mtime_ns
    assert compiled(tmp_path / "new") == program
    assert program.stat().st_mtime_ns == made
    assert [one.name for one in (tmp_path / "new").iterdir()] == [program.name]


def test_without_a_compiler_the_open_loop_is_not_measured_and_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FAILURES, match="apt-get install gcc"):  # what the rounds report as not measured
        compiled(tmp_path)


def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho cannot compute >&2\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(FAILURES, match="does not compile here: cannot compute"):
        compiled(tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_what_it_finds_is_one_line_of_json() -> None:
    with serving(lambda _: OK) as port:
        asked = plan(port)
        command = [compiled(), asked.host, str(port), "100", "0.05", "1", "1", "1"]
        told = subprocess.run(command, input=asked.request.encode(), capture_output=True, timeout=30, check=True)
    assert told.stderr == b""
    assert json.loads(told.stdout)["ok"] == 5
