"""The wheel: built, installed elsewhere, and used without the source tree."""

import zipfile
from pathlib import Path

import pytest

from .wheels import ROOT, build, copy_tree, install, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    return build(copy_tree(folder / "source"), folder / "dist")


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("environment"))


def test_the_wheel_holds_the_three_packages_with_their_pages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert wheel.name.endswith("-py3-none-any.whl")
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
    assert "Usage: stagedoor" in run(python.with_name("stagedoor"), "--help", cwd=tmp_path)


@pytest.mark.parametrize(
    "module", ["stagedoor.cli", "serving.wiring", "serving.resolver.wiring", "registry_hooks", "stagedoor.local.guardian"]
)
def test_the_packages_come_from_the_wheel(python: Path, tmp_path: Path, module: str) -> None:
    where = run(python, "-c", f"import {module}, platform; print({module}.__file__); platform.python_version()", cwd=tmp_path)
    assert where.startswith(str(python.parents[1]))


def test_mlflow_finds_its_plugin(python: Path, tmp_path: Path) -> None:
    find = "(app,) = entry_points(group='mlflow.app', name='stagedoor')"
    code = f"from importlib.metadata import entry_points; {find}; print(app.load())"
    assert "create_app" in run(python, "-c", code, cwd=tmp_path)


def test_a_ledger_is_made_by_the_wheels_own_migrations(python: Path, tmp_path: Path) -> None:
    code = "from registry_hooks.ledger import open_ledger; print(open_ledger('ledger.db').verify())"
    assert "rows=0, first_bad=None" in run(python, "-c", code, cwd=tmp_path)
