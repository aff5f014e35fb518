"""Files of a version from servers that lie about them. Real sockets, no MLflow."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from stagedoor.domain.intent import ModelVersion
from stagedoor.errors import RegistryGarbled, UnsafeArtifact
from stagedoor.registry.mlflow_registry import MLflowRegistry

from .conftest import Liar, registry_at, say


@pytest.mark.parametrize("name", ["../evil", "..", "a/b", "/etc/passwd", "a\\b", "nul\0"])
def test_a_file_that_leads_out_is_unsafe(liar: Liar, tmp_path: Path, name: str) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "get-download-uri" in handler.path:
            say(json.dumps({"artifact_uri": "mlflow-artifacts:/1/model"}).encode())(handler)
        else:
            say(json.dumps({"files": [{"path": name, "is_dir": False}]}).encode())(handler)

    liar.answer = answer
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(UnsafeArtifact):
        registry_at(liar.url, timeout=10).fetch(ModelVersion("fraud", "1", "x"), into)
    assert list(tmp_path.rglob("*")) == [into]


def test_a_folder_within_itself_is_unsafe(liar: Liar, tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "get-download-uri" in handler.path:
            say(json.dumps({"artifact_uri": "mlflow-artifacts:/1/model"}).encode())(handler)
        else:
            say(json.dumps({"files": [{"path": "again", "is_dir": True}]}).encode())(handler)

    liar.answer = answer
    with pytest.raises(UnsafeArtifact):
        registry_at(liar.url, timeout=10).fetch(ModelVersion("fraud", "1", "x"), tmp_path)


def test_a_version_over_the_size_limit_is_given_up(liar: Liar, tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "get-download-uri" in handler.path:
            say(json.dumps({"artifact_uri": "mlflow-artifacts:/1/model"}).encode())(handler)
        elif "?path=" in handler.path:
            say(json.dumps({"files": [{"path": "a"}, {"path": "b"}]}).encode())(handler)
        else:
            say(b"x" * 600)(handler)

    liar.answer = answer
    registry = MLflowRegistry(liar.url, timeout=1, max_artifact_bytes=1000)
    with pytest.raises(RegistryGarbled):
        registry.fetch(ModelVersion("fraud", "1", "x"), tmp_path)


def test_local_links_are_copied_as_links_and_not_followed(liar: Liar, tmp_path: Path) -> None:
    source, into = tmp_path / "source", tmp_path / "into"
    source.mkdir()
    into.mkdir()
    (source / "leak").symlink_to("/etc/hostname")
    liar.answer = say(json.dumps({"artifact_uri": source.as_uri()}).encode())
    registry_at(liar.url, timeout=10).fetch(ModelVersion("fraud", "1", "x"), into)
    assert (into / "leak").is_symlink()
