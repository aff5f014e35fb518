"""One system for all of this folder; each test has models of its own."""

from collections.abc import Iterator

import pytest

from .system import System, Up


@pytest.fixture(scope="package")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = Up(tmp_path_factory.mktemp("rollouts"))
    try:
        running.wait()
        yield running
    finally:
        running.end()


@pytest.fixture(scope="package")
def system(up: Up) -> System:
    return up.wait()
