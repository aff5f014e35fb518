"""What only the lock on a file has to get right."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry_hooks.lease import FileLease, build_lease
from registry_hooks.ledger import open_ledger
from stagedoor.errors import ConfigurationError
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Callable[[], FileLease]]:
    ledger = open_ledger(tmp_path / "ledger.db")
    made: list[FileLease] = []

    def make() -> FileLease:
        made.append(FileLease(tmp_path / "control" / "lease", ledger))
        return made[-1]

    yield make
    for lease in made:
        lease.release()


def test_a_lease_whose_file_was_removed_is_lost(files: Callable[[], FileLease], tmp_path: Path) -> None:
    one, other = files(), files()
    one.acquire()
    (tmp_path / "control" / "lease").unlink()
    assert other.acquire()
    assert not one.held()
    assert one.generation == 0
    assert not one.acquire()
    assert other.held()


def test_state_folders_with_one_ledger_have_one_lease(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "shared.db")
    one, other = (build_lease(Settings(), StatePaths(tmp_path / name), ledger) for name in ("one", "other"))
    assert one.acquire()
    assert not other.acquire()
    one.release()


def test_the_usual_lease_is_in_the_state_folder(tmp_path: Path) -> None:
    paths = StatePaths(tmp_path)
    lease = build_lease(Settings(), paths, open_ledger(paths.ledger))
    lease.acquire()
    assert paths.lease.is_file()
    lease.release()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "control").touch()
    with pytest.raises(ConfigurationError, match="STAGEDOOR_STATE_DIR"):
        FileLease(tmp_path / "control" / "lease", open_ledger(tmp_path / "ledger.db")).acquire()
