"""Who asks for workers that share more, when, and how often."""

import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import orjson
import pytest

from serving import renewal
from serving.before_fork import SHAREABLE
from serving.renewal import LATER_SECONDS, REST_SECONDS, Renewal, alone, asks
from serving.snapshot_file import write_snapshot
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route
from stagedoor.paths import StatePaths

MLFLOW = frozenset({"mlflow.pyfunc"})


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    """A machine that serves one pyfunc version, and a worker that has loaded it."""
    paths = StatePaths(tmp_path)
    publish(paths, VersionEntry("1", "ready", "d", "python_function"))
    paths.workers.mkdir(parents=True)
    tell(paths, serial=4)
    return paths


def publish(paths: StatePaths, found: VersionEntry) -> None:
    route = Route(1, (Arm("champion", "1", 10_000),), b"salt")
    write_snapshot(paths.snapshot, Snapshot(4, {"m": ModelEntry("m", route=route, versions={found.version: found})}))


def tell(paths: StatePaths, serial: int) -> None:
    (paths.workers / f"{os.getpid()}.json").write_bytes(orjson.dumps({"serial": serial}))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(renewal, "REST_SECONDS", 0.005)


def test_a_settled_worker_asks_at_once(paths: StatePaths) -> None:
    assert Renewal(paths).patience(MLFLOW) == 0


def test_a_worker_that_is_still_loading_waits(paths: StatePaths) -> None:
    tell(paths, serial=3)
    assert Renewal(paths).patience(MLFLOW) == REST_SECONDS


@pytest.mark.parametrize("name", ["snapshot", "report"])
def test_a_worker_that_cannot_read_where_it_stands_waits(paths: StatePaths, name: str) -> None:
    (paths.snapshot if name == "snapshot" else paths.workers / f"{os.getpid()}.json").write_bytes(b"{")
    assert Renewal(paths).patience(MLFLOW) == REST_SECONDS


@pytest.mark.parametrize(
    "found",
    [VersionEntry("1", "ready", "d", "onnx"), VersionEntry("2", "ready", "d", "python_function")],
    ids=["no pyfunc", "no route"],
)
def test_what_no_route_needs_is_not_asked_for(paths: StatePaths, found: VersionEntry) -> None:
    publish(paths, found)
    assert Renewal(paths).patience(MLFLOW) == LATER_SECONDS


def test_only_what_the_master_has_not_tried_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SHAREABLE:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", ModuleType("mlflow.pyfunc"))
    assert alone(frozenset()) == MLFLOW
    assert alone(MLFLOW) == frozenset()


def test_of_all_workers_of_a_generation_one_may_ask(paths: StatePaths) -> None:
    master = Renewal(paths)
    assert not master.take_right()  # not under our configuration: nobody has begun a generation
    master.begin()
    assert [master.take_right() for _ in range(4)] == [True, False, False, False]
    master.begin()
    assert [master.take_right() for _ in range(2)] == [True, False]


def test_the_right_is_one_for_all_processes(paths: StatePaths) -> None:
    master = Renewal(paths)
    master.begin()
    codes = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            os._exit(int(master.take_right()))
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    assert codes == [1, 0, 0]


@pytest.mark.usefixtures("quick")
def test_workers_that_watch_ask_once_between_them(paths: StatePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "alone", lambda _: MLFLOW)
    worker = Renewal(paths)
    worker.begin()
    asked: list[int] = []
    for at in range(3):
        worker.watch(lambda at=at: asked.append(at))  # type: ignore[misc]
    end = time.monotonic() + 10
    while not asked and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(asked) == 1


@pytest.mark.usefixtures("quick")
def test_a_worker_that_shares_all_it_uses_never_looks_further(paths: StatePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([frozenset[str]()] * 20)
    monkeypatch.setattr(renewal, "alone", lambda _: next(looks))
    monkeypatch.setattr(Renewal, "patience", lambda *_: pytest.fail("it looked"))
    with pytest.raises(StopIteration):
        Renewal(paths).follow(lambda: pytest.fail("it asked"))


@pytest.mark.usefixtures("quick")
def test_a_worker_that_goes_on_importing_is_left_in_peace(paths: StatePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([frozenset({str(at)}) for at in range(20)])
    monkeypatch.setattr(renewal, "alone", lambda _: next(looks))
    monkeypatch.setattr(Renewal, "patience", lambda *_: pytest.fail("it looked"))
    with pytest.raises(StopIteration):
        Renewal(paths).follow(lambda: pytest.fail("it asked"))


def test_only_the_parent_is_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    asks(os.getpid())()
    assert sent == []
    asks(os.getppid())()
    assert sent == [(os.getppid(), signal.SIGHUP)]


def test_a_master_of_another_user_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    asks(os.getppid())()


# --- in a reload ---


def worker(*updates: float, pid: int = 0) -> Any:
    """A gunicorn worker whose heartbeat file says `updates`, one after another."""
    said = list(updates)
    return SimpleNamespace(pid=pid, tmp=SimpleNamespace(last_update=lambda: said.pop(0) if len(said) > 1 else said[0]))


@pytest.fixture
def living() -> Any:
    """The pid of a child that lives until the test ends."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_reload_waits_for_the_first_of_its_workers_only(
    paths: StatePaths, living: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    master = Renewal(paths)
    master.begin()
    master.make_way(worker(1.0, 1.0, 1.0, 2.0, pid=living))
    assert naps == []
    master.make_way(worker(1.0, pid=living))
    assert len(naps) == 2
    master.make_way(worker(1.0, pid=living))
    assert len(naps) == 2


def test_a_reload_does_not_wait_for_a_worker_that_died(paths: StatePaths) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    master = Renewal(paths)
    master.begin()
    master.make_way(worker(1.0, pid=pid))
    started = time.monotonic()
    master.make_way(worker(1.0))
    assert time.monotonic() - started < renewal.FIRST_WORKER_SECONDS
    assert os.waitpid(pid, 0)[0] == pid  # it is left for gunicorn to reap
