"""The guard around a real `mlflow server --app-name stagedoor`: who may do what, by client, by browser and by hand."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from .servers import Server, end_group, environment, launch

pytestmark = pytest.mark.slow

MODEL = "fraud"
PAGE = {"Accept": "text/html"}
CLIENT = """
import os, sys, tempfile, warnings
warnings.simplefilter("ignore")
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

class Constant(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[str]) -> list[str]:
        return model_input

mlflow.set_experiment("guarded")
with mlflow.start_run():
    mlflow.log_metric("auc", 0.9)
    mlflow.pyfunc.log_model(name="model", python_model=Constant(), registered_model_name="fraud", pip_requirements=[])
client = MlflowClient()
client.set_registered_model_alias("fraud", "champion", 1)
client.set_registered_model_tag("fraud", "stagedoor.traffic", "champion=100")
client.transition_model_version_stage("fraud", 1, "Production")
assert mlflow.pyfunc.load_model("models:/fraud@champion").predict(["x"]) == ["x"]
os.environ["MLFLOW_TRACKING_TOKEN"] = os.environ["VIEWER"]
assert client.get_model_version_by_alias("fraud", "champion").version in (1, "1")
try:
    client.set_registered_model_alias("fraud", "champion", 1)
except MlflowException as error:
    assert "may not move an alias" in str(error), str(error)
    assert error.error_code == "PERMISSION_DENIED", error.error_code
    print("refused as it should be")
"""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/static-files/index.html"),
        ("POST", "/api/2.0/mlflow/experiments/search"),
        ("GET", "/ajax-api/2.0/mlflow/registered-models/search"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x.txt"),
        ("GET", "/api/2.0/mlflow/webhooks"),
        ("POST", "/ajax-api/3.0/jobs/"),
        ("GET", "/ajax-api/3.0/mlflow/assistant/config"),
        ("POST", "/graphql"),
        ("POST", "/v1/traces"),
        ("GET", "/api/3.0/mlflow/server-info"),
        ("GET", "/nowhere"),
    ],
)
def test_nothing_answers_without_a_token(server: Server, method: str, path: str) -> None:
    answer = server.ask(method, path)
    assert answer.status_code == 401
    assert answer.json()["code"] == "token_invalid"
    assert server.ask(method, path, "predictor").status_code == 403


def test_health_and_version_stay_open(server: Server) -> None:
    assert server.ask("GET", "/health").text == "OK"
    assert server.ask("GET", "/version").ok


@pytest.mark.parametrize("api", ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow"])
def test_viewers_read_and_promoters_write(server: Server, api: str) -> None:
    model = {"name": f"made-{api.count('ajax')}"}
    assert server.ask("POST", f"{api}/experiments/search", "viewer", json={"max_results": 5}).ok
    assert server.ask("GET", f"{api}/registered-models/search", "viewer").ok
    assert server.ask("GET", f"{api}/webhooks", "viewer").ok
    assert server.ask("POST", f"{api}/registered-models/create", "viewer", json=model).status_code == 403
    assert server.ask("POST", f"{api}/webhooks", "viewer", json={}).status_code == 403
    assert server.ask("POST", f"{api}/registered-models/create", "promoter", json=model).ok
    assert server.ask("DELETE", f"{api}/registered-models/delete", "viewer", json=model).status_code == 403
    assert server.ask("DELETE", f"{api}/registered-models/delete", "promoter", json=model).ok


def test_artifacts_go_through_the_same_door(server: Server) -> None:
    path = "/api/2.0/mlflow-artifacts/artifacts/7/note.bin"
    body = os.urandom(3_000_000)
    assert server.ask("PUT", path, "viewer", data=body).status_code == 403
    assert server.ask("PUT", path, "promoter", data=body).ok
    assert server.ask("GET", path).status_code == 401
    assert server.ask("GET", path, "viewer").content == body


def test_graphql_answers_queries_of_viewers_and_no_mutation(server: Server) -> None:
    query = {"query": '{ test(inputString: "x") { output } }'}
    mutation = {"query": 'mutation { testMutation(inputString: "x") { output } }'}
    assert server.ask("POST", "/graphql", "viewer", json=query).json()["data"] == {"test": {"output": "x"}}
    assert server.ask("POST", "/graphql", "viewer", json=mutation).status_code == 403


def test_mlflows_client_promotes_with_a_promoters_token_and_a_viewer_is_refused(server: Server, tmp_path: Path) -> None:
    tokens = {role: server.bearer(role)["Authorization"].removeprefix("Bearer ") for role in ("promoter", "viewer")}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT],
        env=environment(MLFLOW_TRACKING_URI=server.url, MLFLOW_TRACKING_TOKEN=tokens["promoter"], VIEWER=tokens["viewer"]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "refused as it should be" in done.stdout
    log = server.log.read_text()
    ours = [line for line in log.splitlines() if '"registry_write"' in line and '"name":"fraud"' in line]
    moved = next(line for line in ours if "move an alias" in line)
    assert '"subject":"the-promoter"' in moved
    assert '"alias":"champion"' in moved
    assert '"action":"move a version to a stage"' in log
    for token in tokens.values():
        assert token not in log


def test_a_person_signs_in_sees_the_ui_and_acts_by_cookie(server: Server) -> None:
    person = requests.Session()
    options: dict[str, Any] = {"timeout": 20}
    page = person.get(server.url, headers=PAGE, **options)
    assert page.url == f"{server.url}/stagedoor/sign-in?next=/"
    assert "<h1>Sign in to MLflow</h1>" in page.text
    ours = {"Origin": server.url}
    wrong = person.post(page.url, data={"token": "wrong", "next": "/"}, headers=ours, **options)
    assert (wrong.status_code, "not valid here" in wrong.text) == (401, True)
    form = {"token": server.bearer("promoter")["Authorization"].removeprefix("Bearer "), "next": "/"}
    ui = person.post(page.url, data=form, headers=ours, **options)
    assert ui.url == f"{server.url}/"
    assert "<title>MLflow</title>" in ui.text
    script = re.search(r'src="([^"]+\.js)"', ui.text)
    assert script is not None
    assert person.get(f"{server.url}/{script[1].lstrip('./')}", **options).ok
    create = f"{server.url}/ajax-api/2.0/mlflow/registered-models/create"
    assert person.post(create, json={"name": "by-hand"}, headers=ours, **options).ok
    foreign = {"Origin": "http://evil.example"}
    assert person.post(create, json={"name": "by-evil"}, headers=foreign, **options).status_code == 403
    person.post(f"{server.url}/stagedoor/sign-out", headers=ours, **options)
    assert person.get(server.url, headers=PAGE, **options).url.startswith(f"{server.url}/stagedoor/sign-in")
    person.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_weak_secret_ends_the_server_with_a_clear_reason(tmp_path: Path, workers: int) -> None:
    process = launch(tmp_path, 0, workers=workers, STAGEDOOR_TOKEN_SECRET="short")
    try:
        process.wait(120)
    finally:
        end_group(process)
    log = (tmp_path / "log").read_text()
    assert "STAGEDOOR_TOKEN_SECRET is shorter than 32 bytes" in log
    assert "stagedoor.errors" not in log
