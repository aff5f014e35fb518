"""Which connections the open-loop driver uses, and what it makes of those that end, are refused or are slow."""

import shutil
import socket
import subprocess
import threading
import time
from dataclasses import replace

import pytest

from tests.benchmarks.bench.open_loop import compiled, drive
from tests.unit.bench.answering import CLOSING, LARGE, OK, SHED, accepted, peer, plan, sent_to, serving

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the driver needs a C compiler")


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


def used_of(requests: int, ends: int | None = None) -> list[int]:
    """Which of four connections served these requests, of which no two were on their way at once; `ends` closes after one."""
    used: list[int] = []

    def serve(taken: socket.socket, number: int) -> None:
        with taken:
            while taken.recv(9999):
                used.append(number)
                taken.sendall(OK)
                if number == ends:
                    return

    def accept(listener: socket.socket) -> None:
        threads = [threading.Thread(target=serve, args=(accepted(listener), number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    for _ in range(5):
        used.clear()
        with peer(accept) as port:
            found = drive(plan(port, per_second=20, seconds=requests / 20, connections=4, most=4))
        if found.ok_us[3] < 1e6 / 20:  # else the machine was busy
            break
    assert (found.ok, found.broken) == (requests, 0)
    return used


def test_the_connection_that_has_been_idle_longest_is_taken_first() -> None:
    assert used_of(6) == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize(("ends", "used"), [(0, [0, 1, 2, 3, 1, 2]), (1, [0, 1, 2, 3, 0, 2]), (3, [0, 1, 2, 3, 0, 1])])
def test_an_idle_connection_that_ends_leaves_the_others_in_their_order(ends: int, used: list[int]) -> None:
    assert used_of(len(used) + 2, ends)[:6] == used


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


def test_too_many_connections_for_the_limit_of_open_files_is_said() -> None:
    with serving(lambda _: OK) as port:
        asked = plan(port)
        command = ["sh", "-c", 'ulimit -n 10; exec "$@"', "sh", compiled(), asked.host, str(port), "10", "1", "20", "20", "1"]
        told = subprocess.run(command, input=asked.request.encode(), capture_output=True, timeout=30, check=False)
    assert told.returncode == 1
    assert b"ulimit -n" in told.stderr


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
