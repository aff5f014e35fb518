"""Fetching a version's files from wherever MLflow keeps them, chosen by the scheme of the address.

A server's own artifacts (`mlflow-artifacts:`) come through its REST interface with our bounded session: mlflow's client
takes its token, timeouts and retries from the process's environment alone, and its import costs seconds. Object stores
are left to mlflow.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from stagedoor.errors import MissingArtifact, RegistryUnavailable, UnsafeArtifact
from stagedoor.registry.mlflow_answers import File

MAX_FILES: Final = 20_000
MAX_DEPTH: Final = 32

ListFolder = Callable[[str], tuple[File, ...]]
"""Lists a folder given by its path below the server's artifact root."""
Save = Callable[[str, Path], None]
"""Writes the file at a percent-encoded path below the server's artifact root to a new local file."""


def download(uri: str, into: Path, *, server: str, list_folder: ListFolder, save: Save) -> None:
    """Copy every file below `uri` into the existing folder `into`. Raises as Registry.fetch does."""
    address = urlsplit(uri)
    if address.scheme == "mlflow-artifacts" and address.netloc in {"", urlsplit(server).netloc}:
        _through_server(address.path.strip("/"), into, list_folder, save)
    elif address.scheme in {"", "file"}:
        _from_disk(Path(unquote(address.path)), into)
    else:
        _through_mlflow(uri, into, server)
    if not any(into.iterdir()):
        raise MissingArtifact("The version has no files where MLflow says they are. Log the model again.")


def _through_server(root: str, into: Path, list_folder: ListFolder, save: Save) -> None:
    folders: list[tuple[str, ...]] = [()]
    count = 0
    while folders:
        folder = folders.pop()
        for file in list_folder("/".join((root, *folder))):
            count += 1
            where = (*folder, _checked(file.path))
            if count > MAX_FILES or len(where) > MAX_DEPTH:
                raise UnsafeArtifact(f"The version has more than {MAX_FILES} files or folders deeper than {MAX_DEPTH}.")
            local = into.joinpath(*where)
            if file.is_dir:
                local.mkdir()
                folders.append(where)
            else:
                save("/".join(map(quote, (*root.split("/"), *where))), local)


def _checked(name: str) -> str:
    """A base name that stays in its folder."""
    if name in {".", ".."} or not {"/", "\\", "\0"}.isdisjoint(name):
        raise UnsafeArtifact("A path among the version's files leads outside its folder.")
    return name


def _from_disk(source: Path, into: Path) -> None:
    """Links stay links, for the store to refuse: copying what they lead to would let a model read this machine's files."""
    if not source.is_dir():
        raise MissingArtifact("The version's folder is not on this machine. Let `mlflow server` serve the artifacts.")
    try:
        shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise RegistryUnavailable("The version's files cannot be read from disk.") from error


def _through_mlflow(uri: str, into: Path, server: str) -> None:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415  seconds and hundreds of megabytes, seldom needed

    try:
        got = Path(download_artifacts(artifact_uri=uri, dst_path=str(into), tracking_uri=server))
    except Exception as error:  # every object store's client raises its own kinds; the next attempt may do
        raise RegistryUnavailable(f"The version's files could not be fetched ({type(error).__name__}).") from error
    if got.resolve() != into.resolve() and got.is_dir():
        for path in got.iterdir():
            path.rename(into / path.name)
        got.rmdir()
