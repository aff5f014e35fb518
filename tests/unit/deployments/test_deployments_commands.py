"""The commands of `mlflow deployments` as MLflow itself calls the plugin; the process around them is another test's."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mlflow.deployments.cli import commands

from tests.unit.deployments.conftest import row


def _mlflow(verb: str, *arguments: str) -> Result:
    return CliRunner().invoke(commands, [verb, *arguments])


@pytest.mark.parametrize(
    "body", [{"dataframe_split": {"columns": ["a"], "data": [[1.5], [2.5]]}}, [{"a": 1.5}, {"a": 2.5}]], ids=["body", "records"]
)
def test_predict_reads_records_and_whole_bodies_from_a_file(stage: Any, tmp_path: Path, body: Any) -> None:
    file = tmp_path / "input.json"
    file.write_text(json.dumps(body))
    ran = _mlflow("predict", "-t", stage.target, "--name", "fraud", "-I", str(file), "-O", str(tmp_path / "out.json"))
    assert ran.exit_code == 0, ran.output
    assert json.loads((tmp_path / "out.json").read_text()) == {"predictions": [0.5]}
    assert stage.invocations[0][1]["dataframe_split"]["data"] == [[1.5], [2.5]]


def test_predict_prints_the_predictions(stage: Any, tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"inputs": [[1, 2], [3, 4]]}')
    ran = _mlflow("predict", "-t", stage.target, "--name", "fraud@challenger", "-I", str(file))
    assert json.loads(ran.output) == {"predictions": [0.5]}
    assert stage.invocations == [("fraud@challenger", {"inputs": [[1, 2], [3, 4]]})]


def test_create_with_options_of_the_command_line(stage: Any) -> None:
    stage.tell(row(stable="8"))
    options = ("-C", "strategy=canary steps=5,100", "-C", "interval=10s", "-C", "wait=true")
    ran = _mlflow("create", "-t", stage.target, "--name", "fraud", "-m", "models:/fraud/8", *options)
    assert ran.exit_code == 0, ran.output
    assert "stagedoor deployment fraud is created" in ran.output
    assert stage.commands[0][1]["strategy"] == "canary steps=5,100 interval=10s"


def test_update_takes_a_policy_with_its_own_equals_signs(stage: Any) -> None:
    options = ("-C", "traffic=champion=90,challenger=10", "-C", "sticky=claim:sub")
    ran = _mlflow("update", "-t", stage.target, "--name", "fraud", *options)
    assert ran.exit_code == 0, ran.output
    assert stage.commands == [("traffic", {"policy": "champion=90,challenger=10", "sticky": "claim:sub"})]


def test_delete_list_get_and_help_speak_plainly(stage: Any) -> None:
    refused = _mlflow("delete", "-t", stage.target, "--name", "fraud")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: This takes the model out of service")
    stage.tell(row(stable=None))
    assert _mlflow("delete", "-t", stage.target, "--name", "fraud", "-C", "confirm=true").exit_code == 0
    assert "'fraud'" in _mlflow("list", "-t", stage.target).output
    assert "phase: idle" in _mlflow("get", "-t", stage.target, "--name", "fraud").output
    told = _mlflow("help", "-t", "stagedoor").output
    assert "stagedoor:http://HOST:PORT" in told
    assert max(map(len, told.splitlines())) <= 128


def test_endpoints_are_refused_in_a_sentence(stage: Any) -> None:
    ran = _mlflow("list", "-t", stage.target, "--endpoint", "a")
    assert ran.exit_code == 1
    assert "Stagedoor knows no endpoints" in ran.output
