"""One suite over every implementation of the Registry port: the in-memory twin, and MLflow's own server."""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pytest

from stagedoor.domain.intent import ModelVersion, RegisteredModel
from stagedoor.errors import MissingArtifact, RegistryNotFound
from stagedoor.registry.mlflow_registry import MLflowRegistry
from stagedoor.registry.port import Registry

from .worlds import World

pytestmark = pytest.mark.slow


Folder = Callable[[Mapping[str, bytes]], Path]
SMALL = {"MLmodel": b"flavors: {}\n"}


def everything(registry: Registry, only: Collection[str] = ()) -> list[RegisteredModel]:
    """The models of all pages, which have two each."""
    pages = [registry.models(only)]
    while pages[-1].next:
        assert len(pages[-1].models) == 2 or only
        pages.append(registry.models(only, pages[-1].next))
    return [model for page in pages for model in page.models]


def test_a_search_shows_aliases_tags_stages_and_the_newest_version(world: World, name: str, folder: Folder) -> None:
    versions = [world.register(name, folder(SMALL)) for _ in range(3)]
    world.set_alias(name, "champion", "2")
    world.set_alias(name, "challenger", "3")
    world.set_tag(name, "stagedoor.traffic", "champion=90,challenger=10")
    world.set_stage(name, "1", "Production")
    found = {model.name: model for model in everything(world.registry)}[name]
    assert versions == ["1", "2", "3"]
    assert found.aliases == {"champion": "2", "challenger": "3"}
    assert found.tags.items() >= {"stagedoor.traffic": "champion=90,challenger=10"}.items()
    assert found.stages == {"Production": "1", "None": "3"}
    assert found.newest == "3"
    assert found == world.registry.model(name)


def test_models_come_ordered_by_name(world: World, name: str, folder: Folder) -> None:
    for suffix in ("-b", "-a", "-c"):
        world.register(name + suffix, folder(SMALL))
    found = [model.name for model in everything(world.registry) if model.name.startswith(name)]
    assert found == [name + "-a", name + "-b", name + "-c"]


def test_a_few_models_can_be_read_by_name(world: World, name: str, folder: Folder) -> None:
    for suffix in ("-b", "-a", "-c", " caf\u00e9 & co", " o'clock"):
        world.register(name + suffix, folder(SMALL))

    def read(*suffixes: str) -> list[str]:
        return [model.name for model in everything(world.registry, [name + suffix for suffix in suffixes])]

    assert read("-c", "-a", "-absent") == [name + "-a", name + "-c"]
    assert read("-c", "-b", "-a") == [name + "-a", name + "-b", name + "-c"]
    assert read(" caf\u00e9 & co") == [name + " caf\u00e9 & co"]
    assert read("-a", " o'clock") == [name + " o'clock", name + "-a"]
    assert read("-absent") == []
    assert read("-a") == [world.registry.model(name + "-a").name]


def test_a_moved_alias_shows_at_the_next_read(world: World, name: str, folder: Folder) -> None:
    for _ in range(2):
        world.register(name, folder(SMALL))
    world.set_alias(name, "champion", "1")
    assert world.registry.model(name).aliases == {"champion": "1"}
    world.set_alias(name, "champion", "2")
    assert world.registry.model(name).aliases == {"champion": "2"}
    assert {model.name: model for model in everything(world.registry)}[name].aliases == {"champion": "2"}


def test_deleted_aliases_and_tags_are_gone(world: World, name: str, folder: Folder) -> None:
    world.register(name, folder(SMALL))
    world.set_alias(name, "champion", "1")
    world.set_tag(name, "stagedoor.sticky", "claim:sub")
    world.delete_alias(name, "champion")
    world.set_tag(name, "stagedoor.sticky", None)
    found = world.registry.model(name)
    assert found.aliases == {}
    assert "stagedoor.sticky" not in found.tags


def test_a_deleted_version_takes_its_aliases_along_and_leaves_its_number(world: World, name: str, folder: Folder) -> None:
    for _ in range(2):
        world.register(name, folder(SMALL))
    world.set_alias(name, "champion", "2")
    world.delete_version(name, "2")
    found = world.registry.model(name)
    assert (found.aliases, found.newest) == ({}, "1")
    with pytest.raises(RegistryNotFound):
        world.registry.version(name, "2")


def test_a_model_without_versions_is_listed(world: World, name: str, folder: Folder) -> None:
    world.register(name, folder(SMALL))
    world.delete_version(name, "1")
    found = {model.name: model for model in everything(world.registry)}[name]
    assert (found.aliases, found.stages, found.newest) == ({}, {}, None)


def test_a_deleted_model_is_not_found(world: World, name: str, folder: Folder) -> None:
    world.register(name, folder(SMALL))
    world.delete_model(name)
    assert name not in {model.name for model in everything(world.registry)}
    with pytest.raises(RegistryNotFound):
        world.registry.model(name)


def test_a_model_made_anew_under_an_old_name_can_be_told_apart(world: World, name: str, folder: Folder) -> None:
    world.register(name, folder(SMALL))
    before = world.registry.model(name)
    world.delete_model(name)
    world.register(name, folder(SMALL))
    assert world.registry.model(name).created_at != before.created_at


@pytest.mark.parametrize(("model", "version"), [("absent", "1"), ("present", "7")])
def test_what_is_not_there_is_not_found(world: World, name: str, folder: Folder, model: str, version: str) -> None:
    world.register(f"{name}-present", folder(SMALL))
    asked = f"{name}-{model}"
    with pytest.raises(RegistryNotFound):
        world.registry.version(asked, version)
    with pytest.raises(RegistryNotFound):
        world.registry.tag_version(asked, version, "stagedoor.sha256", "00")


def test_a_tag_of_a_version_is_set_and_replaced(world: World, name: str, folder: Folder) -> None:
    world.register(name, folder(SMALL))
    world.registry.tag_version(name, "1", "stagedoor.sha256", "one")
    world.registry.tag_version(name, "1", "stagedoor.sha256", "two")
    found = world.registry.version(name, "1")
    assert found.tags["stagedoor.sha256"] == "two"
    assert (found.name, found.version, found.complete) == (name, "1", True)


def test_fetching_brings_every_file_byte_for_byte(world: World, name: str, folder: Folder, tmp_path: Path) -> None:
    files = {
        "MLmodel": b"flavors: {}\n",
        "model.onnx": os.urandom(3_000_000),
        "data/weights/part 1 (100%).bin": b"\0" * 10,
        "data/empty": b"",
        "data/\u00fcber.txt": b"x",
    }
    world.register(name, folder(files))
    into = tmp_path / "into"
    into.mkdir()
    world.registry.fetch(world.registry.version(name, "1"), into)
    got = {path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()}
    assert got == files


def test_a_version_without_files_is_a_missing_artifact(world: World, name: str, folder: Folder, tmp_path: Path) -> None:
    world.register(name, folder({}))
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(MissingArtifact):
        world.registry.fetch(world.registry.version(name, "1"), into)


def test_fetching_a_version_that_is_gone_is_not_found(world: World, name: str, folder: Folder, tmp_path: Path) -> None:
    world.register(name, folder(SMALL))
    found = world.registry.version(name, "1")
    world.delete_version(name, "1")
    with pytest.raises(RegistryNotFound):
        world.registry.fetch(found, tmp_path)


def test_a_name_with_spaces_and_accents_works_everywhere(world: World, name: str, folder: Folder, tmp_path: Path) -> None:
    odd = f"{name} caf\u00e9 & co + 1"
    world.register(odd, folder(SMALL))
    world.set_alias(odd, "champion", "1")
    assert world.registry.model(odd).aliases == {"champion": "1"}
    found = world.registry.version(odd, "1")
    into = tmp_path / "into"
    into.mkdir()
    world.registry.fetch(found, into)
    assert isinstance(found, ModelVersion)
    assert (into / "MLmodel").read_bytes() == SMALL["MLmodel"]


def test_a_logged_model_is_fetched_from_mlflow(mlflow_url: str, name: str, tmp_path: Path) -> None:
    """`models:/m-...` sources are what `log_model` of MLflow 3 leaves behind."""
    import subprocess
    import sys

    script = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input
with mlflow.start_run():
    mlflow.pyfunc.log_model(name="echo", python_model=Echo(), registered_model_name=sys.argv[2], pip_requirements=[])
"""
    subprocess.run([sys.executable, "-c", script, mlflow_url, name], check=True, timeout=120, capture_output=True, cwd=tmp_path)
    registry = MLflowRegistry(mlflow_url, timeout=30)
    found = registry.version(name, "1")
    into = tmp_path / "into"
    into.mkdir()
    registry.fetch(found, into)
    assert found.source.startswith("models:/m-")
    assert (into / "MLmodel").is_file()
    assert (into / "python_model.pkl").is_file()
