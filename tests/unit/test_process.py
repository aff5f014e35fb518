"""The guardian: nothing that was started may outlive the one who asked for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stagedoor.local.process import Process, Spec, tail

STUBBORN = "trap '' TERM; sleep 300 & setsid bash -c \"trap '' TERM; sleep 300\" & echo ready; wait; sleep 300"


def _spec(tmp_path: Path, *command: str, grace: float = 0.5) -> Spec:
    return Spec("child", command, tmp_path, tmp_path / "child.log", {"STAGEDOOR_TEST_MARK": str(tmp_path)}, grace_seconds=grace)


def _marked(tmp_path: Path) -> list[int]:
    """All processes that were started, directly or not, with this test's mark."""
    mark = f"STAGEDOOR_TEST_MARK={tmp_path}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            alive = entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if alive:
            found.append(int(entry.name))
    return found


def _until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_exit_code_comes_through(tmp_path: Path) -> None:
    process = Process.start(_spec(tmp_path, "sh", "-c", "echo said; exit 7"))
    _until(lambda: process.exit_code() is not None)
    assert process.exit_code() == 7
    assert process.tail() == "said"
    process.end()


def test_a_command_that_is_not_there_is_said_in_the_log(tmp_path: Path) -> None:
    process = Process.start(_spec(tmp_path, "no-such-command-here"))
    _until(lambda: process.exit_code() is not None)
    assert process.exit_code() == 127
    assert "no-such-command-here" in process.tail()
    process.end()


def test_a_death_by_signal_has_the_shells_exit_code(tmp_path: Path) -> None:
    process = Process.start(_spec(tmp_path, "sh", "-c", "kill -9 $$"))
    _until(lambda: process.exit_code() is not None)
    assert process.exit_code() == 128 + 9
    process.end()


def test_a_polite_command_gets_time_to_end(tmp_path: Path) -> None:
    process = Process.start(
        _spec(tmp_path, "bash", "-c", "trap 'echo bye; exit 0' TERM; echo ready; sleep 300 & wait", grace=5)
    )
    _until(lambda: "ready" in process.tail())
    process.end()
    assert process.exit_code() == 0
    assert process.tail() == "ready\nbye"
    assert _marked(tmp_path) == []


@pytest.mark.slow
def test_a_stubborn_family_is_killed_as_a_whole(tmp_path: Path) -> None:
    process = Process.start(_spec(tmp_path, "bash", "-c", STUBBORN))
    _until(lambda: "ready" in process.tail())
    process.end()
    assert process.exit_code() == 128 + 9
    assert _marked(tmp_path) == []


def test_what_a_dead_command_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    process = Process.start(_spec(tmp_path, "bash", "-c", "sleep 300 & exit 3"))
    _until(lambda: process.exit_code() is not None)
    assert process.exit_code() == 3
    assert _marked(tmp_path) == []
    process.end()


@pytest.mark.slow
def test_even_when_the_asker_is_killed_nothing_is_left(tmp_path: Path) -> None:
    asker = (
        "import sys, time, pathlib\n"
        "from stagedoor.local.process import Process, Spec\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "spec = Spec('child', ('bash', '-c', sys.argv[2]), folder, folder / 'child.log',\n"
        "            {'STAGEDOOR_TEST_MARK': str(folder)}, grace_seconds=0.5)\n"
        "process = Process.start(spec)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", asker, str(tmp_path), STUBBORN]) as parent:
        try:
            _until(lambda: "ready" in tail(tmp_path / "child.log", 5))
            assert _marked(tmp_path)
        finally:
            os.kill(parent.pid, signal.SIGKILL)
    _until(lambda: _marked(tmp_path) == [])


def test_only_the_end_of_a_large_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "large.log"
    log.write_text("\n".join(str(n) for n in range(100_000)))
    assert tail(log, 2) == "99998\n99999"
    assert tail(tmp_path / "missing.log", 2) == ""
