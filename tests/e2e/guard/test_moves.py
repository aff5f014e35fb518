"""Moves of aliases and stages at a real guarded MLflow server: on condition, one by one, signed, and told to the controller."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from stagedoor.domain.intent import author_of
from stagedoor.registry.mlflow_registry import MLflowRegistry

from .servers import Server

pytestmark = pytest.mark.slow

ALIAS = "/api/2.0/mlflow/registered-models/alias"


@pytest.fixture
def model(server: Server) -> str:
    """A model of one's own with three versions; `champion` names the first."""
    name = f"moved-{uuid.uuid4().hex[:8]}"
    create(server, name, 3)
    assert move(server, name, "1").ok
    return name


def create(server: Server, name: str, versions: int) -> None:
    made = server.ask("POST", "/api/2.0/mlflow/registered-models/create", "promoter", json={"name": name})
    assert made.ok, made.text
    run = server.ask("POST", "/api/2.0/mlflow/runs/create", "promoter", json={"experiment_id": "0"}).json()["run"]["info"]
    for _ in range(versions):
        source = {"name": name, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
        assert server.ask("POST", "/api/2.0/mlflow/model-versions/create", "promoter", json=source).ok


def move(server: Server, name: str, version: str, expected: str | None = None, **options: Any) -> requests.Response:
    headers = {} if expected is None else {"X-Stagedoor-Expected-Version": expected}
    body = {"name": name, "alias": "champion", "version": version}
    token = server.token("promoter", options.get("subject", "alice"))
    return server.ask("POST", options.get("path", ALIAS), headers=headers | {"Authorization": f"Bearer {token}"}, json=body)


def registry(server: Server) -> MLflowRegistry:
    token = server.token("viewer")
    return MLflowRegistry(server.url, timeout=20, token=lambda: token)


def test_a_move_from_elsewhere_is_refused_and_changes_nothing(server: Server, model: str) -> None:
    for expected in ("2", ""):
        answer = move(server, model, "3", expected)
        assert (answer.status_code, answer.json()["code"]) == (412, "registry_conflict")
        assert answer.json()["error_code"] == "RESOURCE_CONFLICT"
    assert registry(server).model(model).aliases == {"champion": "1"}
    assert move(server, model, "3", "1").ok
    assert registry(server).model(model).aliases == {"champion": "3"}


def test_a_model_that_is_not_there_is_mlflows_to_tell(server: Server) -> None:
    assert move(server, "nowhere", "1", "").json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("path", [ALIAS, ALIAS.replace("/api", "/ajax-api")])
def test_of_twenty_moves_at_once_from_one_place_exactly_one_wins_and_signs(server: Server, model: str, path: str) -> None:
    start = threading.Barrier(20)

    def promote(number: int) -> tuple[int, str, str]:
        version = "23"[number % 2]
        start.wait(30)
        return move(server, model, version, "1", subject=f"person-{number}", path=path).status_code, f"person-{number}", version

    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(promote, range(20)))
    assert sorted(status for status, *_ in done) == [200] + [412] * 19
    ((_, winner, version),) = [one for one in done if one[0] == 200]
    found = registry(server).model(model)
    author = author_of(found, "champion")
    assert found.aliases == {"champion": version}
    assert author is not None
    assert author.subject == winner


def test_whatever_the_order_the_author_is_that_of_the_last_move(server: Server, model: str) -> None:
    with ThreadPoolExecutor(12) as pool:
        done = list(pool.map(lambda n: move(server, model, "123"[n % 3], subject=f"person-{n % 3}").ok, range(24)))
    assert all(done)
    found = registry(server).model(model)
    author = author_of(found, "champion")
    assert author is not None
    assert author.subject == f"person-{'123'.index(found.aliases['champion'])}"


def test_the_author_stands_there_before_the_answer_comes(server: Server, model: str) -> None:
    for number in range(10):
        assert move(server, model, "123"[number % 3], subject=f"person-{number}").ok
        author = author_of(registry(server).model(model), "champion")
        assert author is not None
        assert author.subject == f"person-{number}"


def test_stages_and_removals_are_signed_too(server: Server, model: str) -> None:
    stage = {"name": model, "version": "2", "stage": "production", "archive_existing_versions": True}
    assert server.ask("POST", "/ajax-api/2.0/mlflow/model-versions/transition-stage", "promoter", json=stage).ok
    gone = {"name": model, "alias": "champion"}
    assert server.ask("DELETE", ALIAS, "promoter", json=gone).ok
    found = registry(server).model(model)
    authors = [author_of(found, name) for name in ("Production", "champion")]
    assert [author and (author.subject, author.version) for author in authors] == [
        ("the-promoter", "2"),
        ("the-promoter", None),
    ]


@pytest.mark.parametrize("key", ["stagedoor.route", "stagedoor.by.champion", "stagedoor.drill"])
def test_a_promoter_cannot_forge_what_the_controller_writes(server: Server, model: str, key: str) -> None:
    tag = {"name": model, "key": key, "value": "mallory\t1\t2026-01-01T00:00:00+00:00"}
    before = registry(server).model(model).tags
    for api in ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/2.0/preview/mlflow", "/api/3.0/mlflow"):
        assert server.ask("POST", f"{api}/registered-models/set-tag", "promoter", json=tag).status_code == 403
        assert server.ask("DELETE", f"{api}/registered-models/delete-tag", "promoter", json=tag).status_code == 403
    assert registry(server).model(model).tags == before
    assert server.ask("POST", "/api/2.0/mlflow/registered-models/set-tag", "admin", json=tag).ok


def test_a_version_cannot_be_born_approved(server: Server, model: str) -> None:
    born = {"name": model, "source": "models:/x", "tags": [{"key": "stagedoor.approved", "value": "mallory"}]}
    assert server.ask("POST", "/api/2.0/mlflow/model-versions/create", "promoter", json=born).status_code == 403
    assert registry(server).model(model).newest == "3"
