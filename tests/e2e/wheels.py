"""Wheels of this tree: built from a copy of its files, and installed where nothing of the checkout is to be found."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.checkout import ROOT, files

COMPILE = "STAGEDOOR_COMPILE"
_OURS = ("STAGEDOOR_", "PYTEST_", "PYTHONPATH", "PYTHONHOME")


def plain_environment() -> dict[str, str]:
    """What a person's shell has: nothing of ours, of pytest's, or of where Python is to look."""
    return {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}


def run(*command: str | Path, cwd: Path, seconds: float = 240, **environment: str) -> str:
    """What it prints; it has to end well, and in time."""
    done = subprocess.run(
        command, cwd=cwd, env=plain_environment() | environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_tree(folder: Path) -> Path:
    """A copy of the tracked files, so that nothing lying about gets in and nothing is left behind."""
    for name in files("--cached", "--others", "--exclude-standard"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return folder


def build(tree: Path, into: Path, **environment: str) -> Path:
    """The wheel, from an isolated build; pip's own configuration says where that gets its tools."""
    run(sys.executable, "-m", "build", "--wheel", "--outdir", into, tree, cwd=into.parent, **environment)
    (built,) = into.glob("*.whl")
    return built


def install(wheel: Path, folder: Path) -> Path:
    """The interpreter of a fresh environment with the wheel in it.

    The wheel's dependencies are borrowed from this environment, but never this checkout.
    """
    venv.create(folder, with_pip=False)
    interpreter = folder / "bin" / "python"
    options = ("--no-deps", "--no-index", "--no-compile")
    run(sys.executable, "-m", "pip", "--python", interpreter, "install", *options, wheel, cwd=folder)
    site = Path(run(interpreter, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip())
    # A plain path in a .pth adds packages and does not run the .pth files there, so the editable checkout stays out.
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    return interpreter
