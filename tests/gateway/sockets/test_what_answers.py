"""The processes that answer run the modules that are installed: compiled ones from a compiled wheel, none in a checkout."""

import sys
from pathlib import Path

import pytest

import serving

from .conftest import Gateway

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="what a process has mapped is read from Linux' /proc"
)

PACKAGE = Path(str(serving.__file__)).parent


def _mapped(pid: str) -> set[str]:
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    files = {f"/{line.partition('/')[2]}" for line in lines if line.endswith(".so")}
    return {file for file in files if Path(file).is_relative_to(PACKAGE)}


def test_a_gateways_workers_run_what_is_installed(gateway: Gateway) -> None:
    compiled = {str(path) for path in PACKAGE.rglob("*.so")}
    workers = gateway.workers()
    assert len(workers) == 2
    for pid in workers:
        mapped = _mapped(pid)  # not each of them: compiled modules import one another from the code they share
        assert mapped <= compiled
        assert bool(mapped) == bool(compiled)
