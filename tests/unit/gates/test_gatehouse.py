"""Real versions of an in-memory registry at the gates: fetched, examined in a real process, and judged."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_hooks.gates import verdict_of
from registry_hooks.gates.examiner import Examiner, without_secrets
from registry_hooks.gates.versions import Versions
from stagedoor.digest import digest_of
from stagedoor.errors import RegistryUnavailable

Make = Callable[..., Path]
pytestmark = pytest.mark.slow


def outcome(found: dict[str, Any]) -> str:
    return verdict_of(found.items())


def test_versions_are_examined_once_and_judged_beside_the_live_one(gates: Any, make_onnx: Make) -> None:
    house = gates.house()
    first = gates.add(make_onnx())
    second = gates.add(make_onnx(((2.0,), (3.0,))))
    wider = gates.add(make_onnx(((1.0,), (2.0,), (3.0,)), example=((1.0, 2.0, 3.0),)))
    renamed = gates.add(make_onnx(name="Z"))

    assert outcome(gates.check(house, first)) == "pass"
    found = gates.check(house, second, first)
    assert outcome(found) == "pass", found
    assert found["digest"].evidence == {
        "sha256": digest_of(Path(gates.registry.version("m", second).source)),
        "recorded": False,
    }
    assert found["budget"].evidence["live_p99_seconds"] > 0
    assert gates.registry.fetches == [("m", first), ("m", second)]

    for version, reason in ((wider, "had the shape"), (renamed, "the output Y is missing")):
        found = gates.check(house, version, first)
        assert found["compatibility"].outcome == "fail"
        assert reason in found["compatibility"].reason
        assert found["loads"].outcome == "pass"

    start = time.monotonic()
    assert outcome(gates.check(house, second, first)) == "pass"
    assert time.monotonic() - start < 2
    assert len(gates.registry.fetches) == 4
    assert outcome(gates.check(gates.house(), second, first)) == "pass"
    assert len(gates.registry.fetches) == 4


def test_files_that_are_not_those_recorded_are_never_loaded(gates: Any, make_onnx: Make) -> None:
    house = gates.house()
    folder = make_onnx()
    version = gates.add(folder, **{"stagedoor.sha256": digest_of(folder)})
    assert outcome(gates.check(house, version)) == "pass"
    (folder / "model.onnx").write_bytes(b"x" + (folder / "model.onnx").read_bytes()[1:])
    again = gates.add(folder, **{"stagedoor.sha256": gates.registry.version("m", version).tags["stagedoor.sha256"]})
    found = gates.check(house, again)
    assert found["digest"].outcome == found["loads"].outcome == "fail"
    assert "not loaded" in found["loads"].reason


def test_what_the_registry_cannot_give_is_an_error_and_what_it_has_not_is_a_failure(
    gates: Any, make_onnx: Make, tmp_path: Path
) -> None:
    house = gates.house()
    version = gates.add(make_onnx())
    model = gates.registry.model("m")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert gates.check(house, gates.add(empty))["digest"].outcome == "fail"
    assert gates.check(house, "99")["digest"].outcome == "fail"
    gates.registry.broken = RegistryUnavailable("No answer.")
    found = house.check(model, version, None, "alice")
    assert [finding.result.outcome for finding in found] == ["error"]
    assert "tried again" in found[0].result.reason


def test_artifacts_that_cannot_be_fetched_are_an_error_and_come_later(
    gates: Any, make_onnx: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = gates.house()
    version = gates.add(make_onnx())

    def fetch(*_arguments: object) -> None:
        raise RegistryUnavailable("The store is down.")

    with monkeypatch.context() as dead:
        dead.setattr(gates.registry, "fetch", fetch)
        found = gates.check(house, version)
        assert found["digest"].outcome == "error"
        assert "cannot be fetched" in found["digest"].reason
        assert outcome(found) == "error"
    assert outcome(gates.check(house, version)) == "pass"
    gates.registry.delete_version("m", version)
    newer = gates.add(make_onnx())
    assert gates.check(house, newer, version)["compatibility"].outcome == "error"


@pytest.mark.parametrize(
    ("damage", "gate"),
    [
        (lambda folder: (folder / "MLmodel").unlink(), "loads"),
        (lambda folder: (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:40]), "loads"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "digest"),
        (lambda folder: (folder / "serving_input_example.json").write_text('{"inputs": [[1]]}'), "golden"),
        (lambda folder: (folder / "serving_input_example.json").write_text('{"inputs": [[3e38, 3e38]]}'), "golden"),
    ],
)
def test_a_bad_artifact_fails_with_a_reason_free_of_paths(
    gates: Any, make_onnx: Make, damage: Callable[[Path], Any], gate: str
) -> None:
    folder = make_onnx()
    damage(folder)
    found = gates.check(gates.house(), gates.add(folder))
    assert found[gate].outcome == "fail", found
    assert outcome(found) == "fail"
    assert all(str(gates.root) not in result.reason and str(folder) not in result.reason for result in found.values())


def test_golden_requests_of_the_operator_and_of_the_version_count(gates: Any, make_onnx: Make) -> None:
    folder = make_onnx()
    (folder / "golden.json").write_text('{"request": {"inputs": [[1, 1]]}, "predictions": {"Y": [[3.0]]}}')
    version = gates.add(folder)
    house = gates.house()
    gates.registry.set_tag("m", "stagedoor.gate.golden", "file=golden.json")
    assert gates.check(house, version)["golden"].evidence == {"asked": 2, "answered": 2}
    own = gates.paths.control / "golden" / "m.json"
    own.parent.mkdir(parents=True)
    own.write_text('[{"inputs": [[1, 1]]}, {"request": {"inputs": [[1, 1]]}, "predictions": {"Y": [[4.0]]}}]')
    found = gates.check(house, version)["golden"]
    assert (found.outcome, found.evidence) == ("fail", {"asked": 4, "answered": 3})
    own.unlink()
    for text in ("file=../../etc/passwd", "file=/etc/passwd", "tolerance=no", "files=x"):
        gates.registry.set_tag("m", "stagedoor.gate.golden", text)
        assert gates.check(house, version)["golden"].outcome == "error"
    gates.registry.set_tag("m", "stagedoor.gate.golden", "file=none.json")
    assert gates.check(house, version)["golden"].outcome == "fail"


def test_metrics_are_read_only_where_one_is_asked_for(gates: Any, make_onnx: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    house = gates.house()
    version = gates.add(make_onnx())
    asked: list[str] = []

    def run_metrics(run_id: str) -> dict[str, float]:
        asked.append(run_id)
        raise RegistryUnavailable("No answer.")

    monkeypatch.setattr(gates.registry, "run_metrics", run_metrics)
    assert outcome(gates.check(house, version)) == "pass"
    gates.registry.set_tag("m", "stagedoor.gate.metric", "accuracy")
    found = gates.check(house, version)["metric"]
    assert found.outcome == ("error" if asked else "fail")


def test_an_examiner_that_was_killed_is_started_again_and_ends_when_told(make_onnx: Make, tmp_path: Path) -> None:
    examiner = Examiner(tmp_path)
    request = {"folder": str(make_onnx()), "timeout": 60, "memory": 512}
    try:
        assert examiner.examine(request)["flavor"] == "onnx"
        first = examiner.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert examiner.examine(request)["flavor"] == "onnx"
        second = examiner.pid
        assert second not in {None, first}
    finally:
        examiner.close()
    assert not Path(f"/proc/{second}").exists()


def test_no_examiner_outlives_a_controller_that_was_killed(make_onnx: Make, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from registry_hooks.gates.examiner import Examiner;"
        "examiner = Examiner(Path(sys.argv[1]));"
        "examiner.examine({'folder': sys.argv[2], 'timeout': 60, 'memory': 512});"
        "print(examiner.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(make_onnx())],
        capture_output=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert killed.returncode == -signal.SIGKILL
    process = Path(f"/proc/{int(killed.stdout)}/stat")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.exists() and process.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        time.sleep(0.05)
    assert not process.exists() or process.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_state_folder_that_cannot_be_written_is_an_error(gates: Any, make_onnx: Make) -> None:
    version = gates.add(make_onnx())
    gates.paths.control.parent.mkdir(parents=True)
    gates.paths.control.write_text("a file where a folder should be")
    found = gates.check(gates.house(), version)
    assert found["digest"].outcome == "error"
    assert outcome(found) == "error"


def test_copies_stay_within_their_budget_and_those_in_use_stay(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "versions", 1500)

    def write(text: str) -> Callable[[Path], None]:
        return lambda into: (into / "file").write_text(text * 1000) and None

    with versions.fetched(write("a")) as (first, folder):
        with versions.fetched(write("b")) as (second, _):
            pass
        assert folder.is_dir()
        assert versions.has(first)
    assert [versions.has(digest) for digest in (first, second)].count(True) == 1
    with versions.kept("f" * 64) as none:
        assert none is None


def test_code_that_models_bring_sees_no_secrets() -> None:
    kept = {"PATH": "/bin", "HOME": "/root", "KEYBOARD": "us", "OMP_NUM_THREADS": "1"}
    secret = {
        "STAGEDOOR_LEDGER_URL": "x",
        "MLFLOW_TRACKING_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ACCESS_KEY_ID": "x",
        "PGPASSWORD": "x",
        "github_token": "x",
        "DATABASE_URL": "x",
    }
    assert without_secrets({**kept, **secret}) == kept
