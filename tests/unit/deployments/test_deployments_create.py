"""New deployments through the plugin, and how their end is waited for."""

from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from stagedoor.mlflow_deployments import versions, watching
from stagedoor.mlflow_deployments.failure import DeploymentFailed
from tests.unit.deployments.conftest import NOW, client, ended, row


def test_create_gates_promotes_and_waits_for_the_end(stage: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stage.tell(
        row(),
        row("gating", candidate="8"),
        row("canary", candidate="8", weight=100, waiting_for="38 more outcomes of version 8 in this step"),
        row("canary", candidate="8", weight=2500),
        row("idle", stable="8", last=ended("promoted", "8", "no worse")),
    )
    found = client(stage).create_deployment("fraud", "models:/fraud/8", config={"strategy": "canary", "wait": "true"})
    assert stage.commands == [("promote", {"version": "8", "alias": "champion", "strategy": "canary"})]
    assert (found["name"], found["flavor"], found["version"], found["stable"]) == ("fraud", "stagedoor", "8", "8")
    said = capsys.readouterr()
    assert "canary at 1.00% of the traffic. Waiting for 38 more outcomes" in said.err
    assert "canary at 25.00% of the traffic" in said.err
    assert said.out == ""


def test_create_raises_with_the_reason_and_the_gate_that_failed(stage: Any) -> None:
    gates = [
        {"gate": "loads", "outcome": "pass", "reason": "it loads", "evidence": {}},
        {"gate": "signature", "outcome": "fail", "reason": "column amount is missing", "evidence": {}},
    ]
    stage.tell(row("gating", candidate="8"), row("refused", gates=gates, last=ended("refused", "8", "a gate failed")))
    with pytest.raises(MlflowException) as caught:
        client(stage).create_deployment("fraud", "models:/fraud/8")
    assert caught.value.error_code == "ABORTED"
    assert str(caught.value) == "Version 8 was refused: a gate failed\nGate signature: fail, column amount is missing"
    assert isinstance(caught.value, DeploymentFailed)
    assert caught.value.exit_code == 3


def test_a_log_gets_a_line_for_each_stage_and_not_for_each_request(stage: Any, capsys: pytest.CaptureFixture[str]) -> None:
    seen = [row("canary", candidate="8", weight=500, waiting_for=f"proof: {n} of 100 so far.") for n in range(20)]
    stage.tell(*seen, row("canary", candidate="8", weight=2500), row(stable="8"))
    client(stage).create_deployment("fraud", "models:/fraud/8")
    assert capsys.readouterr().err.splitlines() == [
        "Version 8: canary at 5.00% of the traffic. Waiting for proof: 0 of 100 so far.",
        "Version 8: canary at 25.00% of the traffic.",
        "Version 8 is live.",
    ]


def test_a_rollback_is_a_failure_and_one_long_ago_is_not(stage: Any) -> None:
    old = ended("rolled_back", "8", "an old story", at=NOW - 50)
    stage.tell(row(last=old), row("canary", candidate="8", last=old), row(last=ended("rolled_back", "8", "e-value 31")))
    with pytest.raises(DeploymentFailed, match="rolled back: e-value 31"):
        client(stage).create_deployment("fraud", "models:/fraud/8")


def test_a_version_that_is_live_already_is_success(stage: Any) -> None:
    stage.tell(row(stable="8"))
    assert client(stage).create_deployment("fraud", "models:/fraud/8")["stable"] == "8"


def test_another_version_on_its_way_is_told(stage: Any) -> None:
    stage.tell(row("canary", candidate="9"))
    with pytest.raises(DeploymentFailed, match="Version 9 is on its way instead of 8"):
        client(stage).create_deployment("fraud", "models:/fraud/8")


def test_a_controller_that_does_nothing_is_not_waited_for_till_the_end(stage: Any) -> None:
    stage.tell(row(problems=["Tag stagedoor.rollout: begin with one of canary."]))
    with pytest.raises(DeploymentFailed, match=r"not on its way and version 7 is live\. Tag stagedoor.rollout"):
        client(stage).create_deployment("fraud", "models:/fraud/8")


def test_time_runs_out_and_the_rollout_goes_on(stage: Any) -> None:
    stage.tell(row("held", candidate="8", waiting_for="a second person's approval"))
    with pytest.raises(DeploymentFailed, match=r"0\.1 seconds.*second person's approval.*goes on") as caught:
        client(stage).create_deployment("fraud", "models:/fraud/8", config={"timeout": "100ms"})
    assert (caught.value.error_code, caught.value.exit_code) == ("DEADLINE_EXCEEDED", 4)


def test_wait_false_returns_at_once(stage: Any) -> None:
    stage.tell(row("gating", candidate="8"))
    found = client(stage).create_deployment("fraud", "models:/fraud/8", config={"wait": "false"})
    assert found["phase"] == "gating"


def test_another_alias_starts_no_rollout_and_nothing_is_waited_for(stage: Any) -> None:
    client(stage).create_deployment("fraud", "models:/fraud/8", config={"alias": "challenger"})
    assert stage.commands == [("promote", {"version": "8", "alias": "challenger"})]


def test_a_controller_that_is_away_for_a_moment_is_waited_for(stage: Any) -> None:
    stage.tell(row(stable="8"))
    door = _door(stage)
    stage.away = 3
    assert watching.watch(door, "fraud", NOW, _patience(5), _done)["stable"] == "8"


def test_a_controller_that_stays_away_is_given_up(stage: Any) -> None:
    door = _door(stage)
    stage.away = 10_000
    with pytest.raises(DeploymentFailed, match="What was asked for stands"):
        watching.watch(door, "fraud", NOW, _patience(0.2), _done)


def _door(stage: Any) -> Any:
    from stagedoor.mlflow_deployments.door import Door

    door = Door.to(stage.target)
    assert door.places.controller == stage.url
    return door


def _patience(seconds: float) -> Any:
    from stagedoor.mlflow_deployments.wishes import Patience

    return Patience(seconds=seconds)


def _done(*_: Any) -> Any:
    from stagedoor.mlflow_deployments.progress import Progress

    return Progress("done", "")


@pytest.mark.parametrize(
    ("config", "strategy"),
    [
        ({"strategy": "canary steps=5,25,100 interval=10s"}, "canary steps=5,25,100 interval=10s"),
        ({"strategy": "canary", "steps": "5,25", "delta": "1"}, "canary steps=5,25 delta=1"),
        ({"strategy": "blue-green"}, "blue-green"),
    ],
)
def test_a_strategy_comes_whole_or_in_parts(stage: Any, config: dict[str, str], strategy: str) -> None:
    stage.tell(row(stable="8"))
    client(stage).create_deployment("fraud", "models:/fraud/8", config=config)
    assert stage.commands[0][1]["strategy"] == strategy


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"strategy": "yolo"}, "begin with one of canary"),
        ({"strategy": "canary", "wiat": "true"}, "The other options are strategy, alias"),
        ({"wiat": "true"}, "no option wiat"),
        ({"steps": "5,25"}, "need -C strategy"),
        ({"wait": "perhaps"}, "write true or false"),
        ({"timeout": "soon"}, "write a duration"),
        ({"semver": "one"}, "semantic version"),
        ({"alias": "v1"}, "reserved"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_is_done(stage: Any, config: dict[str, str], told: str) -> None:
    with pytest.raises(DeploymentFailed, match=told):
        client(stage).create_deployment("fraud", "models:/fraud/8", config=config)
    assert stage.commands == []


@pytest.mark.parametrize(
    ("name", "uri", "told"),
    [
        ("fraud", "runs:/abc/model", "registered version"),
        ("fraud", "models:/fraud", "registered version"),
        ("fraud", "models:/fraud/Production", "registered version"),
        ("fraud", "models:/churn/8", "--name churn"),
        ("fraud", "models:/m-1234", "--name m-1234"),
        ("fr/aud", "models:/fraud/8", "malformed"),
    ],
)
def test_only_registered_versions_of_the_same_name_can_be_deployed(stage: Any, name: str, uri: str, told: str) -> None:
    with pytest.raises(DeploymentFailed, match=told):
        client(stage).create_deployment(name, uri)
    assert stage.commands == []


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MLflow would rather have a database, which takes it a long time to make
def test_aliases_and_latest_are_looked_up_in_mlflow_and_semver_is_tagged_first(
    stage: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    registry = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    registry.create_registered_model("fraud")
    for _ in range(2):
        registry.create_model_version("fraud", str(tmp_path))
    registry.set_registered_model_alias("fraud", "next", "1")
    monkeypatch.setattr(versions, "mlflow_client", lambda address: registry)
    stage.tell(row(stable="1"))
    client(stage).create_deployment("fraud", "models:/fraud@next", config={"semver": "1.4.2"})
    assert registry.get_model_version("fraud", "1").tags["semver"] == "1.4.2"
    stage.tell(row(stable="2"))
    client(stage).create_deployment("fraud", "models:/fraud/latest")
    assert [command[1]["version"] for command in stage.commands] == ["1", "2"]
    with pytest.raises(DeploymentFailed, match="MLflow says") as caught:
        client(stage).create_deployment("fraud", "models:/fraud@nobody")
    assert caught.value.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
