import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.store import Store, digest_of, folder_of, verify
from stagedoor.errors import MissingArtifact, RegistryUnavailable, TamperedArtifact, UnsafeArtifact

FILES = {"MLmodel": b"flavors: {}", "data/weights.bin": b"\1\2\3"}


def writing(files: dict[str, bytes]) -> Callable[[Path], None]:
    def fetch(into: Path) -> None:
        for name, body in files.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(body)

    return fetch


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", budget_bytes=1000)


def test_what_is_ingested_lies_whole_and_read_only_under_its_digest(store: Store) -> None:
    digest = store.ingest(writing(FILES))
    folder = folder_of(store.root, digest)
    verify(folder, digest)
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES
    assert {oct(p.stat().st_mode & 0o222) for p in (folder, *folder.rglob("*"))} == {"0o0"}
    assert [path.name for path in store.root.iterdir()] == [digest]


def test_the_same_files_have_one_digest_and_one_folder(store: Store) -> None:
    assert store.ingest(writing(FILES)) == store.ingest(writing(dict(reversed(FILES.items()))))
    assert len(list(store.root.iterdir())) == 1


@pytest.mark.parametrize(
    "other",
    [
        {**FILES, "MLmodel": b"flavors: []"},
        {**FILES, "more": b""},
        {"MLmodel": FILES["MLmodel"]},
        {"MLmodel": FILES["MLmodel"], "data/weights.bin2": b"\1\2\3"},
        {"MLmodel": FILES["MLmodel"], "data\nweights.bin": b"\1\2\3"},
    ],
)
def test_any_difference_of_names_or_bytes_is_another_digest(store: Store, other: dict[str, bytes]) -> None:
    assert store.ingest(writing(FILES)) != store.ingest(writing(other))


def test_a_flipped_bit_is_tampering(store: Store) -> None:
    digest = store.ingest(writing(FILES))
    file = folder_of(store.root, digest) / "data/weights.bin"
    file.chmod(0o644)
    file.write_bytes(b"\1\2\2")
    with pytest.raises(TamperedArtifact):
        verify(folder_of(store.root, digest), digest)


@pytest.mark.parametrize("change", ["added", "removed", "truncated"])
def test_added_removed_and_truncated_files_are_tampering(store: Store, change: str) -> None:
    digest = store.ingest(writing(FILES))
    folder = folder_of(store.root, digest)
    folder.chmod(0o755)
    file = folder / "MLmodel"
    file.chmod(0o644)
    if change == "added":
        (folder / "new").write_bytes(b"")
    elif change == "removed":
        file.unlink()
    else:
        os.truncate(file, 3)
    with pytest.raises(TamperedArtifact):
        verify(folder, digest)


def test_absent_files_are_missing(store: Store) -> None:
    with pytest.raises(MissingArtifact):
        verify(folder_of(store.root, "0" * 64), "0" * 64)


def _link(into: Path) -> None:
    (into / "leak").symlink_to("/etc/hostname")


def _folder_link(into: Path) -> None:
    (into / "leak").symlink_to("/etc", target_is_directory=True)


def _pipe(into: Path) -> None:
    os.mkfifo(into / "pipe")


def _socket(into: Path) -> None:
    here = Path.cwd()
    os.chdir(into)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("s")
    finally:
        os.chdir(here)


@pytest.mark.parametrize("plant", [_link, _folder_link, _pipe, _socket])
def test_links_and_special_files_are_unsafe_and_leave_nothing(store: Store, plant: Callable[[Path], None]) -> None:
    def fetch(into: Path) -> None:
        writing(FILES)(into)
        plant(into / "data")

    with pytest.raises(UnsafeArtifact):
        store.ingest(fetch)
    assert list(store.root.iterdir()) == []


def test_a_link_put_in_later_is_unsafe(store: Store) -> None:
    digest = store.ingest(writing(FILES))
    folder = folder_of(store.root, digest)
    (folder / "data").chmod(0o755)
    (folder / "data/weights.bin").unlink()
    (folder / "data/weights.bin").symlink_to("/etc/hostname")
    with pytest.raises(UnsafeArtifact):
        verify(folder, digest)


def test_no_files_is_a_missing_artifact(store: Store) -> None:
    with pytest.raises(MissingArtifact):
        store.ingest(lambda into: (into / "empty").mkdir())
    assert list(store.root.iterdir()) == []


def test_a_failed_download_leaves_nothing(store: Store) -> None:
    def fetch(into: Path) -> None:
        writing(FILES)(into)
        raise RegistryUnavailable("gone")

    with pytest.raises(RegistryUnavailable):
        store.ingest(fetch)
    assert list(store.root.iterdir()) == []


def _make_old(folder: Path) -> None:
    os.utime(folder, (time.time() - 3600, time.time() - 3600))


def test_what_a_crash_left_is_cleaned_and_what_is_under_way_stays(store: Store) -> None:
    crashed = store.root / ".incoming-crashed"
    shutil.copytree(Path(__file__).parent, crashed)
    _make_old(crashed)
    fresh = store.root / ".incoming-fresh"
    fresh.mkdir()

    def fetch(into: Path) -> None:
        writing(FILES)(into)
        _make_old(into.parent)
        Store(store.root, 1000).clean()

    digest = store.ingest(fetch)
    assert {path.name for path in store.root.iterdir()} == {digest, fresh.name}


def test_two_at_once_end_with_one_whole_folder(store: Store) -> None:
    gate = threading.Barrier(2, timeout=10)
    digests = []

    def fetch(into: Path) -> None:
        writing(FILES)(into)
        gate.wait()

    threads = [threading.Thread(target=lambda: digests.append(store.ingest(fetch))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert digests == [digest_of(folder_of(store.root, digests[0]))] * 2
    assert [path.name for path in store.root.iterdir()] == [digests[0]]


def test_the_least_recently_used_go_until_the_rest_fits(store: Store) -> None:
    digests = [store.ingest(writing({"MLmodel": bytes([n]) * 400})) for n in range(4)]
    for age, digest in zip((10, 40, 30, 20), digests, strict=True):
        os.utime(folder_of(store.root, digest), (time.time() - age, time.time() - age))
    assert store.evict(keep=frozenset()) == {digests[1], digests[2]}
    assert store.has(digests[0])
    assert store.has(digests[3])


def test_what_is_served_is_never_evicted(store: Store) -> None:
    digests = [store.ingest(writing({"MLmodel": bytes([n]) * 800})) for n in range(3)]
    assert store.evict(keep=frozenset(digests[:2])) == {digests[2]}
    assert store.has(digests[0])
    assert store.has(digests[1])


def test_what_is_whole_passes_the_check_and_what_is_damaged_is_thrown_away(store: Store) -> None:
    digest = store.ingest(writing({"model.onnx": b"weights"}))
    assert store.check(digest)
    path = folder_of(store.root, digest) / "model.onnx"
    path.chmod(0o644)
    path.write_bytes(b"weighty")
    assert not store.check(digest)
    assert not store.has(digest)
    assert store.ingest(writing({"model.onnx": b"weights"})) == digest
    assert store.check(digest)


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_a_check_of_what_is_not_there_touches_nothing(store: Store, digest: str) -> None:
    kept = store.ingest(writing({"model.onnx": b"weights"}))
    assert not store.check(digest)
    assert store.check(kept)
