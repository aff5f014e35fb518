"""The wheel whose hot path is compiled: what is in it, and that a gateway from it keeps the contract.

Compiled code takes types at their word, and some of the language otherwise than the interpreter does: what holds of the modules
in the checkout is not known of these until they are asked.
"""

import ast
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from .wheels import COMPILE, ROOT, build, copy_tree, install, plain_environment, run

CONTRACT = ("tests/gateway/sockets", "tests/contract/scoring")
NO_OTHER_SERVERS = "not stock and not flask"
"""gunicorn's stock worker and Flask call the same modules, and would take twice as long again."""
SESSION_SECONDS = 420
ENDING_SECONDS = 60
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _compiler() -> str | None:
    words = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    return shutil.which(words[0]) if words else None


@dataclass(frozen=True)
class Built:
    """The tree's copy, and its two wheels."""

    tree: Path
    plain: Path
    compiled: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    if _compiler() is None:
        pytest.skip("there is no C compiler here, and a compiled wheel needs one")
    folder = tmp_path_factory.mktemp("wheels")
    tree = copy_tree(folder / "source")
    plain = build(tree, folder / "plain")
    shutil.rmtree(tree / "build", ignore_errors=True)
    return Built(tree, plain, build(tree, folder / "compiled", **{COMPILE: "1"}))


@pytest.fixture(scope="module")
def python(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(built.compiled, tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def hot_path(built: Built) -> tuple[str, ...]:
    """As setup.py lists it."""
    listed = [
        node.value
        for node in ast.parse((built.tree / "setup.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOT_PATH"
    ]
    names: tuple[str, ...] = ast.literal_eval(listed[0])
    return names


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_a_compiled_wheel_adds_its_modules_to_the_plain_one_and_nothing_else(built: Built, hot_path: tuple[str, ...]) -> None:
    assert _names(built.plain) <= _names(built.compiled)
    added = _names(built.compiled) - _names(built.plain)
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    (shared,) = [name for name in added if "/" not in name]  # what all of them have in common
    assert shared.endswith(f"__mypyc{suffix}")
    assert added - {shared} == {name.removesuffix(".py") + suffix for name in hot_path}


def test_only_the_compiled_wheel_is_for_one_interpreter(built: Built) -> None:
    assert built.plain.name.endswith("-py3-none-any.whl")
    assert not built.compiled.name.endswith("-any.whl")


def test_what_is_installed_is_compiled(python: Path, tmp_path: Path, hot_path: tuple[str, ...]) -> None:
    modules = [name.removesuffix(".py").replace("/", ".") for name in hot_path]
    code = "import importlib, sys; print(*(importlib.import_module(name).__file__ for name in sys.argv[1:]), sep='\\n')"
    places = run(python, "-c", code, *modules, cwd=tmp_path).split()
    assert len(places) == len(modules)
    assert all(place.startswith(str(python.parents[1])) and place.endswith(".so") for place in places)


@pytest.fixture(scope="module")
def apart(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests without the modules they are about, which can only be the installed ones."""
    folder = tmp_path_factory.mktemp("apart")
    shutil.copytree(built.tree / "tests", folder / "tests")
    shutil.copy(built.tree / "pyproject.toml", folder)
    return folder


def test_gateways_from_the_compiled_wheel_keep_the_contract(python: Path, apart: Path) -> None:
    results = apart / "results.xml"
    command = [
        python, "-P", "-m", "pytest", *CONTRACT, "-k", NO_OTHER_SERVERS, "-p", "no:cacheprovider", "-q",
        "--basetemp", apart / "t", "--junitxml", results, f"--session-timeout={SESSION_SECONDS}",
    ]  # fmt: skip
    said = _finish(command, apart)
    cases = list(ET.parse(results).iter("testcase"))  # noqa: S314  written by our own run
    bad = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    assert not bad, said
    answered = {case.get("name", "") for case in cases if case.find("skipped") is None}
    assert "test_a_gateways_workers_run_what_is_installed[lane]" in answered
    assert len(answered) > 500, said


def _finish(command: list[str | Path], folder: Path) -> str:
    """What pytest says at its end. Out of time it is interrupted first, so that its fixtures end the gateways they started."""
    with subprocess.Popen(
        command, cwd=folder, env=plain_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        try:
            said, _ = child.communicate(timeout=SESSION_SECONDS + ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(ENDING_SECONDS)
            child.kill()
            raise
    assert child.returncode == 0, said[-8000:]
    return said[-8000:]


def test_the_checkout_holds_nothing_compiled() -> None:
    """It would be taken for the module beside it, however much older it is."""
    packages = (ROOT / "platform" / "stagedoor", ROOT / "serving", ROOT / "registry_hooks")
    assert [path.name for package in packages for path in package.rglob("*.so")] == []
