"""A version is tried where it can do no harm."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.loading.loaders import LoadOptions
from serving.loading.probe import probe
from stagedoor.errors import ArtifactError, LoadFailed, LoadTimeout, OverBudget, UnsafeArtifact
from stagedoor.settings import MIB

Build = Callable[..., Path]
OPTIONS = LoadOptions(budget_bytes=256 * MIB)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_sound_version_is_measured(build_onnx: Build) -> None:
    report = probe(build_onnx(), OPTIONS, 60)
    assert report.flavor == "onnx"
    assert report.memory_bytes > 0
    assert 0 < report.warm_seconds < report.load_seconds < 60


def test_a_reason_comes_through_with_its_kind(build_onnx: Build) -> None:
    folder = build_onnx(external="../elsewhere")
    with pytest.raises(UnsafeArtifact, match="outside"):
        probe(folder, OPTIONS, 60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("top", "error", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", LoadFailed, "SIGSEGV"),
        ("import os; os._exit(0)", LoadFailed, "exit code 0"),
        ("import os; os.abort()", LoadFailed, "SIGABRT"),
        ("import time; time.sleep(60)", LoadTimeout, "within 2 seconds"),
        ("while True: pass", LoadTimeout, "within 2 seconds"),
        ("hoard = [bytearray(2**24) for _ in range(64)]", OverBudget, "STAGEDOOR_MEMORY_BUDGET_MIB"),
        ("raise ValueError('not today')", LoadFailed, "not today"),
    ],
)
def test_a_version_that_harms_its_process_is_refused(
    build_code: Build, top: str, error: type[ArtifactError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        probe(build_code("return 1", top=top), OPTIONS, 2)


@pytest.mark.slow
def test_what_a_version_starts_ends_with_its_probe(build_code: Build, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    top = f"import subprocess; open({str(note)!r}, 'w').write(str(subprocess.Popen(['sleep', '120']).pid))"
    probe(build_code("return 1", top=top), OPTIONS, 60)
    assert wait_until(lambda: not is_running(int(note.read_text())))


@pytest.mark.slow
def test_a_hanging_version_holds_up_no_other(build_code: Build, build_onnx: Build) -> None:
    hanging = build_code("return 1", top="import time; time.sleep(60)")
    probe(build_onnx(), OPTIONS, 60)
    caught: list[BaseException] = []

    def hang() -> None:
        try:
            probe(hanging, OPTIONS, 5)
        except LoadTimeout as error:
            caught.append(error)

    folders = [build_onnx() for _ in range(4)]
    threads = [threading.Thread(target=hang), *[threading.Thread(target=probe, args=(f, OPTIONS, 60)) for f in folders]]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(4)
        assert not thread.is_alive()
    threads[0].join(30)
    assert len(caught) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_probes(build_code: Build, tmp_path: Path, kill: signal.Signals) -> None:
    note = tmp_path / "pid"
    folder = build_code("return 1", top=f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(300)")
    code = (
        "import sys; sys.path[:] = sys.argv[2:]; from pathlib import Path; from serving.loading.probe import probe;"
        "from serving.loading.loaders import LoadOptions; probe(Path(sys.argv[1]), LoadOptions(), 300)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(folder), *sys.path])
    try:
        assert wait_until(lambda: note.exists() and note.read_text() != "", 60)
        child = int(note.read_text())
        server = int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[1])
        assert server != parent.pid
    finally:
        os.kill(parent.pid, kill)
        parent.wait(10)
    assert wait_until(lambda: not is_running(child))
    assert wait_until(lambda: not is_running(server))


@pytest.mark.slow
def test_probing_goes_on_after_its_process_was_killed(build_onnx: Build) -> None:
    from serving.loading.probe import server_pids

    probe(build_onnx(), OPTIONS, 60)
    pid = server_pids()["onnx"]
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not is_running(pid))
    assert probe(build_onnx(), OPTIONS, 60).flavor == "onnx"
