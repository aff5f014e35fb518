"""The other verbs of the deployments plugin, its targets and its tokens, through MLflow's own `get_deploy_client`."""

import json
from typing import Any

import mlflow.deployments
import pytest

from stagedoor.mlflow_deployments.failure import DeploymentFailed
from tests.unit.deployments.conftest import client, ended, row


def test_flavors_and_endpoints_are_refused(stage: Any) -> None:
    with pytest.raises(DeploymentFailed, match="--flavor"):
        client(stage).create_deployment("fraud", "models:/fraud/8", flavor="onnx")
    with pytest.raises(DeploymentFailed, match="--endpoint"):
        client(stage).list_deployments(endpoint="a")


# --- update, delete, list, get ---


def test_update_splits_traffic(stage: Any) -> None:
    config = {"traffic": "champion=90,challenger=10", "sticky": "header:X-User-Id"}
    assert client(stage).update_deployment("fraud", config=config)["flavor"] == "stagedoor"
    assert stage.commands == [("traffic", {"policy": "champion=90,challenger=10", "sticky": "header:X-User-Id"})]


def test_update_ends_a_split(stage: Any) -> None:
    client(stage).update_deployment("fraud", config={"traffic": "off", "sticky": "off", "wait": "false"})
    assert stage.commands == [("traffic", {"policy": None, "sticky": None})]


def test_update_with_a_model_promotes_it(stage: Any) -> None:
    stage.tell(row(stable="9"))
    client(stage).update_deployment("fraud", model_uri="models:/fraud/9")
    assert stage.commands[0][0] == "promote"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "Say what to update"),
        ({"traffic": "champion=90"}, "add up"),
        ({"traffic": "off", "sticky": "cookie:a"}, "header:<name>"),
        ({"traffic": "off", "strategy": "canary"}, "no option strategy"),
    ],
)
def test_update_without_sense_is_refused(stage: Any, config: dict[str, str], told: str) -> None:
    with pytest.raises(DeploymentFailed, match=told):
        client(stage).update_deployment("fraud", config=config)
    assert stage.commands == []


def test_a_split_with_a_version_that_a_gate_refuses_fails(stage: Any) -> None:
    stage.tell(row("gating"), row("idle", last=ended("refused", "10", "it does not load")))
    with pytest.raises(DeploymentFailed, match="Version 10 was refused: it does not load"):
        client(stage).update_deployment("fraud", config={"traffic": "champion=90,challenger=10"})


def test_delete_asks_to_be_confirmed_and_takes_out_of_service(stage: Any) -> None:
    with pytest.raises(DeploymentFailed, match="confirm=true"):
        client(stage).delete_deployment("fraud")
    assert stage.commands == []
    stage.tell(row(), row(stable=None))
    client(stage).delete_deployment("fraud", config={"confirm": "true"})
    assert stage.commands == [("withdraw", {})]


def test_list_and_get_tell_what_is_live(stage: Any) -> None:
    assert client(stage).list_deployments() == [{"name": "fraud", "version": "7", "phase": "idle"}]
    found = client(stage).get_deployment("fraud")
    assert (found["name"], found["stable"], found["phase"]) == ("fraud", "7", "idle")
    with pytest.raises(DeploymentFailed) as caught:
        client(stage).get_deployment("nobody")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


# --- targets and tokens ---


@pytest.mark.parametrize(
    "target",
    ["stagedoor", "stagedoor:", "stagedoor:localhost", "stagedoor:ftp://a", "stagedoor:http://u:p@a", "stagedoor://a:1"],
)
def test_a_target_without_an_address_is_refused(target: str) -> None:
    with pytest.raises(DeploymentFailed, match="stagedoor:http://HOST:PORT") as caught:
        mlflow.deployments.get_deploy_client(target)
    assert "u:p" not in str(caught.value)


def test_a_gateway_as_target_leads_to_its_controller(stage: Any) -> None:
    stage.places = {"role": "gateway", "controller": stage.url}
    assert client(stage).list_deployments()
    stage.places = {"role": "gateway", "controller": None}
    with pytest.raises(DeploymentFailed, match="follows no controller"):
        client(stage).list_deployments()


def test_what_is_not_stagedoor_is_told_so(stage: Any) -> None:
    stage.places = {"role": "toaster"}
    with pytest.raises(DeploymentFailed, match="not Stagedoor"):
        client(stage).list_deployments()


def test_nobody_at_the_address_is_told_so() -> None:
    with pytest.raises(DeploymentFailed, match="Nothing answers") as caught:
        mlflow.deployments.get_deploy_client("stagedoor:http://127.0.0.1:9").list_deployments()
    assert caught.value.error_code == "TEMPORARILY_UNAVAILABLE"


def test_a_token_that_does_not_do_is_told_and_never_shown(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret-and-wrong")
    with pytest.raises(DeploymentFailed, match="MLFLOW_TRACKING_TOKEN") as caught:
        client(stage).list_deployments()
    assert caught.value.error_code == "UNAUTHENTICATED"
    assert "secret-and-wrong" not in str(caught.value)
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    monkeypatch.setenv("STAGEDOOR_TOKEN", "good")
    assert client(stage).list_deployments()


@pytest.mark.parametrize(("status", "code"), [(403, "PERMISSION_DENIED"), (409, "RESOURCE_CONFLICT"), (500, "INTERNAL_ERROR")])
def test_refusals_of_commands_carry_their_reason_and_code(stage: Any, status: int, code: str) -> None:
    stage.refusals["promote"] = (status, "Version 9 is on its way.")
    with pytest.raises(DeploymentFailed, match="Version 9 is on its way") as caught:
        client(stage).create_deployment("fraud", "models:/fraud/8")
    assert caught.value.error_code == code
    assert json.loads(caught.value.serialize_as_json())["error_code"] == code
