"""The wheel: built, installed elsewhere, and used without the source tree."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tracked files, so that nothing lying about gets in and nothing is left behind."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git checkout, so nothing says which files belong to the tree")
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, folder / "source" / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, folder / "source", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; its dependencies are borrowed from this one, but never this checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    interpreter = folder / "bin" / "python"
    _run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        interpreter,
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        wheel,
        cwd=folder,
    )
    site = Path(_run(interpreter, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip())
    # A plain path in a .pth adds packages and does not run the .pth files there, so the editable checkout stays out.
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    return interpreter


def test_the_wheel_holds_the_three_packages_with_their_pages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"stagedoor", "serving", "registry_hooks"}
    pages = {path.relative_to(ROOT).as_posix().removeprefix("platform/") for path in _pages()}
    assert pages
    assert pages <= set(names)
    assert {f"{package}/py.typed" for package in ("stagedoor", "serving", "registry_hooks")} <= set(names)
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)


def _pages() -> list[Path]:
    roots = [ROOT / "platform" / "stagedoor", ROOT / "serving", ROOT / "registry_hooks"]
    return [path for root in roots for kind in ("*.html", "*.css", "*.js", "*.svg") for path in root.rglob(kind)]


def test_the_installed_command_answers_from_another_folder(python: Path, tmp_path: Path) -> None:
    assert "Usage: stagedoor" in _run(python.with_name("stagedoor"), "--help", cwd=tmp_path)


@pytest.mark.parametrize(
    "module", ["stagedoor.cli", "serving.wiring", "serving.resolver.wiring", "registry_hooks", "stagedoor.local.guardian"]
)
def test_the_packages_come_from_the_wheel(python: Path, tmp_path: Path, module: str) -> None:
    where = _run(python, "-c", f"import {module}, platform; print({module}.__file__); platform.python_version()", cwd=tmp_path)
    assert where.startswith(str(python.parents[1]))


def test_mlflow_finds_its_plugin(python: Path, tmp_path: Path) -> None:
    find = "(app,) = entry_points(group='mlflow.app', name='stagedoor')"
    code = f"from importlib.metadata import entry_points; {find}; print(app.load())"
    assert "create_app" in _run(python, "-c", code, cwd=tmp_path)


def test_a_ledger_is_made_by_the_wheels_own_migrations(python: Path, tmp_path: Path) -> None:
    code = "from registry_hooks.ledger import open_ledger; print(open_ledger('ledger.db').verify())"
    assert "rows=0, first_bad=None" in _run(python, "-c", code, cwd=tmp_path)
