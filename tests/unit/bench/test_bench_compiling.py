"""The open-loop driver is compiled on first use."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.benchmarks.bench.open_loop import FLAGS, SOURCES, compiled, compiler_missing
from tests.benchmarks.bench.rounds import FAILURES

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the driver needs a C compiler")


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


def test_a_missing_compiler_is_told_before_anything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiler_missing(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiler_missing(tmp_path) is None  # it is compiled by now
    assert "apt-get install gcc" in (compiler_missing(tmp_path / "new") or "")


def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho cannot compute >&2\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(FAILURES, match="does not compile here: cannot compute"):
        compiled(tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []
