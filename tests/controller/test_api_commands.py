"""The controller's REST: who commands, with what bodies, and for which models."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from registry_hooks.api import schemas

from .conftest import Controller

COMMANDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("promote", {"version": "2"}),
    ("pause", {}),
    ("resume", {}),
    ("abort", {}),
    ("withdraw", {}),
    ("rollback", {"to": "1"}),
    ("traffic", {"policy": None}),
    ("approve", {"version": "2"}),
)
SECRET = "very-secret-value"


@pytest.mark.parametrize(("command", "body"), COMMANDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_promoter_commands_and_gets_202_with_the_model(controller: Controller, command: str, body: dict[str, Any]) -> None:
    answer = controller.post(f"fraud/{command}", body)
    assert answer.status_code == 202
    assert schemas.Asked().load(answer.json)["model"] == "fraud"
    assert len(controller.woken) == 1


@pytest.mark.parametrize("role", ["viewer", "tester", "predictor"])
@pytest.mark.parametrize(("command", "body"), COMMANDS, ids=lambda value: value if isinstance(value, str) else "")
def test_nobody_else_commands(controller: Controller, command: str, body: dict[str, Any], role: str) -> None:
    answer = controller.post(f"fraud/{command}", body, role=role)
    assert (answer.status_code, answer.json["code"]) == (403, "permission_denied")
    assert controller.registry.model("fraud").tags == {}
    assert controller.woken == []


def test_the_person_of_the_token_is_the_author(controller: Controller) -> None:
    controller.post("fraud/promote", {"version": "2"}, subject="carol")
    assert controller.registry.model("fraud").tags["stagedoor.by.champion"].startswith("carol\t2\t")


def test_promoting_without_a_version_finishes_the_rollout(controller: Controller) -> None:
    controller.show(phase="canary", candidate="2")
    assert controller.post("fraud/promote", {}).status_code == 202
    assert controller.registry.model("fraud").tags["stagedoor.control"] == "promote 2"


def test_drills_are_for_admins(controller: Controller) -> None:
    body = {"fault": "error", "rate": 0.5}
    assert controller.post("fraud/drill", body).status_code == 403
    answer = controller.post("fraud/drill", body, role="admin")
    assert answer.status_code == 202
    assert schemas.Drilled().load(answer.json)["cohort"]
    assert answer.json["until"] == pytest.approx(time.time() + 60, abs=5)
    assert controller.client.delete("/v1/models/fraud/drill", headers=controller.headers()).status_code == 403
    assert controller.client.delete("/v1/models/fraud/drill", headers=controller.headers("admin")).status_code == 202
    assert controller.registry.model("fraud").tags == {}


@pytest.mark.parametrize(
    ("command", "body", "said"),
    [
        ("promote", {"version": "2", SECRET: 1}, "version, alias, strategy"),
        ("promote", {"version": "2", "role": "admin"}, "does not know"),
        ("promote", {"strategy": "canary"}, "Name the version"),
        ("promote", {"version": 2}, "version"),
        ("promote", {"version": "02"}, "version"),
        ("promote", {"version": "2", "alias": "latest"}, "alias"),
        ("promote", {"version": "2", "strategy": SECRET}, "canary"),
        ("promote", [], "object"),
        ("promote", 5, "object"),
        ("pause", {"x": 1}, "no members"),
        ("approve", {}, "version"),
        ("traffic", {}, "policy"),
        ("traffic", {"policy": "champion=90"}, "add up"),
        ("traffic", {"policy": 5}, "policy"),
        ("drill", {"fault": SECRET, "rate": 0.5}, "fault"),
        ("drill", {"fault": "nan", "rate": 0}, "rate"),
        ("drill", {"fault": "nan", "rate": 1.1}, "rate"),
        ("drill", {"fault": "nan", "rate": 1, "seconds": 601}, "seconds"),
    ],
)
def test_a_body_that_says_something_else_is_422_and_not_quoted(
    controller: Controller, command: str, body: Any, said: str
) -> None:
    answer = controller.post(f"fraud/{command}", body, role="admin")
    assert answer.status_code == 422
    assert said in answer.json["detail"]
    assert SECRET not in answer.text
    assert controller.registry.model("fraud").tags == {}


@pytest.mark.parametrize(
    ("raw", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "body_malformed"),
        (b'{"version": "2", "version": "3"}', "application/json", 400, "body_malformed"),
        (b'{"version": NaN}', "application/json", 400, "body_malformed"),
        (b'{"version": "\xff"}', "application/json", 400, "body_malformed"),
        (b"[" * 60_000, "application/json", 400, "body_malformed"),
        (b"version=2", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"x" * 65_537, "application/json", 413, "body_too_large"),
    ],
    ids=["cut", "twice", "nan", "bytes", "deep", "form", "large"],
)
def test_a_body_that_cannot_be_read_is_a_problem(controller: Controller, raw: bytes, kind: str, status: int, code: str) -> None:
    answer = controller.client.post("/v1/models/fraud/promote", data=raw, content_type=kind, headers=controller.headers())
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.content_type == "application/problem+json"


def test_a_model_one_may_not_see_answers_as_one_that_does_not_exist(controller: Controller) -> None:
    controller.show(model="payroll")
    for path in ("", "/history", "/routes/1", "/experiment"):
        hidden = controller.get(f"/v1/models/payroll{path}", models=("fraud",))
        absent = controller.get(f"/v1/models/nothing{path}", models=("*",))
        assert hidden.status_code == absent.status_code == 404
        without = [{k: v for k, v in a.json.items() if k != "request_id"} for a in (hidden, absent)]
        assert without[0] == {**without[1], "detail": without[1]["detail"].replace("nothing", "payroll")}
    for command, body in COMMANDS:
        assert controller.post(f"payroll/{command}", body, models=("fraud",)).status_code == 404
    assert controller.registry.model("payroll").aliases == {}
    listed = controller.get("/v1/models", models=("fraud*",)).json["models"]
    assert [row["model"] for row in listed] == ["fraud"]


def test_commands_from_many_threads_end_in_one_of_their_wishes(controller: Controller) -> None:
    answers: list[int] = []

    def ask(version: str) -> Callable[[], None]:
        headers = controller.headers()

        def run() -> None:
            client = controller.app.test_client()
            answers.append(client.post("/v1/models/payroll/promote", json={"version": version}, headers=headers).status_code)

        return run

    for _ in range(3):
        controller.registry.register("payroll", controller.settings.state_dir)
    threads = [threading.Thread(target=ask(str(1 + n % 4))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    model = controller.registry.model("payroll")
    assert len(answers) == 8
    assert set(answers) <= {202, 409}
    assert model.aliases["champion"] in {"1", "2", "3", "4"}
