"""A version is loaded, tried and timed in a child process; whatever it does there is a finding."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.examine.examining import Request, examine
from stagedoor.digest import digest_of

Make = Callable[..., Path]


def look(folder: Path, golden: tuple[Path, ...] = (), **more: Any) -> dict[str, Any]:
    return examine(Request.read({"folder": folder, "timeout": 60, "memory": 512, "golden": golden, **more}))


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_sound_version_is_reported_in_full(make_onnx: Make) -> None:
    folder = make_onnx()
    report = look(folder)
    assert report["digest"] == digest_of(folder)
    assert report["flavor"] == "onnx"
    assert report["signature"]["inputs"] == [
        {"type": "tensor", "name": "X", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}
    ]
    assert report["golden"] == {
        "asked": 1,
        "answered": 1,
        "endings": [],
        "outputs": [{"name": "Y", "datatype": "FP32", "shape": [1, 1]}],
    }
    assert 0 < report["latency"]["p50"] <= report["latency"]["p99"] < 1
    assert report["latency"]["runs"] == 100
    assert report["memory_bytes"] > 0


def test_a_version_without_example_is_timed_by_a_row_of_its_own_shape(make_onnx: Make) -> None:
    report = look(make_onnx(example=None))
    assert report["golden"]["asked"] == 0
    assert report["latency"]["p99"] > 0


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        ([{"inputs": [[1, 1]]}, {"request": {"inputs": [[1, 1]]}, "predictions": {"Y": [[3.0]]}}], None),
        ('{"inputs": [[1, 1]]}\n\n{"inputs": [[2, 2]]}\n', None),
        ({"request": {"inputs": [[1, 1]]}, "predictions": {"Y": [[3.0001]]}}, None),
        ({"request": {"inputs": [[1, 1]]}, "predictions": {"Y": [[3.1]]}}, "different"),
        ({"request": {"inputs": [[1, 1]]}, "predictions": {"Z": [[3.0]]}}, "different"),
        ({"inputs": [[1, 1, 1]]}, "refused"),
        ({"inputs": [["a", 1]]}, "refused"),
        ({"inputs": [[3e38, 3e38]]}, "invalid"),
        ("nonsense", "unreadable"),
        ("[]", "unreadable"),
        ("[1]", "unreadable"),
        ("[" * 100_000, "unreadable"),
        ("", "unreadable"),
    ],
)
def test_golden_requests_of_a_file_are_tried(make_onnx: Make, tmp_path: Path, content: Any, ending: str | None) -> None:
    golden = look(make_onnx(), (write(tmp_path / "golden.json", content),))["golden"]
    assert [found["ending"] for found in golden["endings"]] == ([ending] if ending else [])
    assert golden["answered"] == golden["asked"] - len(golden["endings"])
    assert "nonsense" not in json.dumps(golden)


def test_a_golden_file_that_is_not_there_counts_as_one_that_went_wrong(make_onnx: Make, tmp_path: Path) -> None:
    golden = look(make_onnx(), (tmp_path / "golden.json",))["golden"]
    assert (golden["asked"], golden["answered"]) == (2, 1)


def test_the_tolerance_of_expected_answers_can_be_wider(make_onnx: Make, tmp_path: Path) -> None:
    file = write(tmp_path / "golden.json", {"request": {"inputs": [[1, 1]]}, "predictions": {"Y": [[3.1]]}})
    assert look(make_onnx(), (file,), tolerance=0.1)["golden"]["endings"] == []


def tensor(dtype: str, *shape: int, name: str = "Y") -> list[dict[str, Any]]:
    return [{"type": "tensor", "name": name, "tensor-spec": {"dtype": dtype, "shape": list(shape)}}]


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        (tensor("float32", -1, 1), None),
        (tensor("float64", -1, 1), None),
        (tensor("float32", -1), None),
        (tensor("float32", -1, 1, name=""), None),
        ([{"type": "double", "name": "Y"}], None),
        (tensor("float32", -1, 2), "shape"),
        (tensor("int64", -1, 1), "declares whole numbers, and numbers came"),
        (tensor("float32", -1, 1, name="Z"), "declares the output Z"),
        ([*tensor("float32", -1, 1), *tensor("float32", -1, 1, name="Z")], "declares 2 outputs, and 1 came"),
        ([{"type": "string", "name": "Y"}], "declares strings"),
    ],
)
def test_an_answer_is_held_against_the_declared_outputs(make_onnx: Make, outputs: Any, reason: str | None) -> None:
    golden = look(make_onnx(outputs=outputs))["golden"]
    assert golden["answered"] == (0 if reason else 1), golden
    assert reason is None or reason in golden["endings"][0]["reason"]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda folder: (folder / "MLmodel").unlink(), "MissingArtifact"),
        (lambda folder: (folder / "model.onnx").unlink(), "MissingArtifact"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"\x08\x07garbage"), "LoadFailed"),
        (lambda folder: (folder / "MLmodel").write_text("flavors:\n  onnx: " + "[" * 50_000), "LoadFailed"),
        (
            lambda folder: (folder / "MLmodel").write_text("note: |\n  onnx: is quick to try\nflavors: {spark: {}}"),
            "UnsupportedFlavor",
        ),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "UnsafeArtifact"),
        (lambda folder: (folder / "MLmodel").write_text("flavors:\n  onnx: {data: ../x.onnx}"), "UnsafeArtifact"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "MissingArtifact"),
    ],
)
def test_a_damaged_version_is_a_finding(make_onnx: Make, damage: Callable[[Path], Any], code: str) -> None:
    folder = make_onnx()
    damage(folder)
    failure = look(folder)["failure"]
    assert failure["code"] == code
    assert str(folder) not in failure["reason"]


def test_a_version_larger_than_allowed_is_a_finding(make_onnx: Make) -> None:
    failure = look(make_onnx([[0.0] * 600_000] * 2), memory=1)["failure"]
    assert failure["code"] == "OverBudget"
    assert "STAGEDOOR_GATE_MEMORY_MIB" in failure["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("top", "code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "LoadFailed", "SIGSEGV"),
        ("while True: pass", "LoadTimeout", "STAGEDOOR_GATE_TIMEOUT_SECONDS"),
        ("hoard = [bytearray(2**24) for _ in range(256)]", "OverBudget", "STAGEDOOR_GATE_MEMORY_MIB"),
        ("raise SystemExit(1)", "LoadFailed", "exit"),
        ("import no_such_module", "LoadFailed", "no_such_module"),
    ],
)
def test_a_version_that_harms_its_process_is_a_finding(make_code: Make, top: str, code: str, reason: str) -> None:
    failure = look(make_code("return 1", top=top), timeout=4)["failure"]
    assert failure["code"] == code
    assert reason in failure["reason"]


@pytest.mark.slow
def test_a_model_that_raises_or_answers_nan_is_a_finding(make_code: Make, tmp_path: Path) -> None:
    model = make_code(
        "assert model_input[0][0] < 5; return model_input - (0.0 if model_input[0][0] else float('nan'))", example=[[1.0]]
    )
    file = write(tmp_path / "golden.json", [{"inputs": [[9.0]]}, {"inputs": [[0.0]]}, {"inputs": [[2.0]]}])
    golden = look(model, (file,))["golden"]
    assert [found["ending"] for found in golden["endings"]] == ["failed", "invalid"]
    assert (golden["asked"], golden["answered"]) == (4, 2)


@pytest.mark.slow
def test_pickles_are_refused_unless_they_are_allowed(tmp_path: Path) -> None:
    import pickle

    from mlflow.models import Model

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "run",))

    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(Evil()))
    model = Model()
    model.add_flavor("python_function", loader_module="mlflow.sklearn", model_path="model.pkl", python_version="3.11.0")
    model.save(str(folder / "MLmodel"))
    assert look(folder)["failure"]["code"] == "UnsafeArtifact"
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_reports_once_or_for_each_line(make_onnx: Make) -> None:
    folder = make_onnx()
    command = [sys.executable, "-m", "serving.examine"]
    once = subprocess.run(
        [*command, "--folder", str(folder), "--memory", "512", "--timeout", "60"],
        capture_output=True,
        timeout=120,
        check=True,
        text=True,
    )
    assert json.loads(once.stdout)["golden"]["answered"] == 1
    lines = [{"id": 1, "folder": str(folder), "timeout": 60, "memory": 512}, {"id": 2, "folder": str(folder)}]
    process = subprocess.Popen([*command, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    killer = threading.Timer(120, process.kill)
    killer.start()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in lines:
            process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
        reports = {report["id"]: report for report in (json.loads(process.stdout.readline()) for _ in lines)}
        process.stdin.close()
        assert process.wait(30) == 0
    finally:
        killer.cancel()
        process.kill()
        process.stdout.close()
    assert reports[1]["digest"] == digest_of(folder)
    assert "cannot be read" in reports[2]["error"]
