"""The controller's REST: what each path answers, problems, and what takes no token."""

import json
from pathlib import Path
from typing import Any

import pytest
from marshmallow import EXCLUDE

from registry_hooks.api import schemas
from registry_hooks.api.openapi import OPERATIONS, document
from registry_hooks.api.questions import moment_of
from stagedoor.errors import InvalidRequest, LedgerUnavailable, RegistryUnavailable

from .conftest import ROUTE, Controller, make_controller

SECRET = "very-secret-value"


def test_questions_take_a_viewer(controller: Controller) -> None:
    for path in ("/v1/models", "/v1/models/fraud", "/v1/models/fraud/history", "/v1/ledger/verify"):
        assert controller.client.get(path).status_code == 401
        assert controller.get(path, role="predictor").status_code == 403
        assert controller.get(path).status_code == 200


def test_one_model_is_as_the_board_shows_it_or_idle_where_it_is_new(controller: Controller) -> None:
    controller.show(
        phase="canary", candidate="2", step=1, steps=[100, 10_000], weight=100, verdict={"numbers": {"e_rollback": 0.4}}
    )
    shown = controller.get("/v1/models/fraud").json
    assert shown == controller.board.rows["fraud"]
    schemas.Model().load(shown)
    assert controller.get("/v1/models/payroll").json["phase"] == "idle"


def test_history_tells_what_was_live_at_a_moment(controller: Controller) -> None:
    for at, version in ((100.0, "1"), (200.0, "2"), (220.0, "2"), (300.0, "3")):
        controller.decide(version, at)
    told = schemas.History().load(controller.get("/v1/models/fraud/history?at=250").json)
    assert told["live"] | {"seq": 0} == {"version": "2", "since": 200.0, "seq": 0, "who": "alice"}
    assert [entry["live"] for entry in told["entries"]] == ["2", "2", "1"]
    assert controller.get("/v1/models/fraud/history?at=1970-01-01T00:01:40Z").json["live"]["version"] == "1"
    assert controller.get("/v1/models/fraud/history?at=50").json["live"] is None
    assert len(controller.get("/v1/models/fraud/history?limit=1").json["entries"]) == 1


@pytest.mark.parametrize(
    "query", ["at=yesterday", "at=-1", "at=nan", "at=1e99", "limit=0", "limit=1001", "limit=x", "limit=%C2%B2"]
)
def test_a_question_that_makes_no_sense_is_422(controller: Controller, query: str) -> None:
    assert controller.get(f"/v1/models/fraud/history?{query}").status_code == 422


def test_moments_are_utc_unless_they_say_otherwise() -> None:
    assert moment_of("1970-01-01T00:01:00") == moment_of("1970-01-01T01:01:00+01:00") == moment_of("60") == 60
    with pytest.raises(InvalidRequest):
        moment_of("inf")


def test_the_route_of_an_epoch_is_found_in_the_tag_or_in_the_ledger(controller: Controller) -> None:
    controller.decide("1", 100.0, route=ROUTE)
    told = schemas.Route().load(controller.get("/v1/models/fraud/routes/5").json)
    assert told["salt"] == b"salt".hex()
    assert [arm["weight"] for arm in told["arms"]] == [9500, 500]
    assert (told["by"], told["decided"]["seq"]) == ("alice", 1)
    assert controller.get("/v1/models/fraud/routes/6").status_code == 409
    for epoch in ("x", "-1", "1" * 16):
        assert controller.get(f"/v1/models/fraud/routes/{epoch}").status_code == 422


def test_an_experiment_without_a_split_says_how_to_make_one(controller: Controller) -> None:
    answer = controller.get("/v1/models/fraud/experiment")
    assert answer.status_code == 409
    assert "stagedoor traffic" in answer.json["detail"]


def test_the_ledger_is_verified(controller: Controller) -> None:
    controller.decide("1", 1.0)
    controller.decide("2", 2.0)
    assert schemas.Verification().load(controller.get("/v1/ledger/verify").json)["sound"] is True
    controller.ledger.rows[0]["who"] = "mallory"
    found = controller.get("/v1/ledger/verify").json
    assert (found["sound"], found["first_bad"]) == (False, 1)


def test_a_dead_registry_or_ledger_is_a_problem_and_the_board_is_still_read(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller.registry.broken = RegistryUnavailable("MLflow does not answer.")
    assert controller.get("/v1/models/fraud").status_code == 200
    assert controller.post("fraud/promote", {"version": "2"}).json["code"] == "registry_unavailable"

    def dead(*_: object, **__: object) -> None:
        raise LedgerUnavailable("The ledger does not answer.")

    monkeypatch.setattr(controller.ledger, "verify", dead)
    assert controller.get("/v1/ledger/verify").json["code"] == "ledger_unavailable"


def test_a_fault_of_our_own_shows_nothing(controller: Controller, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fail(_: str) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(controller.registry, "model", fail)
    answer = controller.post("fraud/pause")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    output = capsys.readouterr()
    assert SECRET not in answer.text + output.out + output.err
    assert "RuntimeError" in output.out + output.err


def test_paths_and_methods_that_do_not_exist_are_problems(controller: Controller) -> None:
    lost = controller.get("/v2/models")
    assert (lost.status_code, lost.json["code"]) == (404, "route_not_found")
    assert "/openapi.json" in lost.json["detail"]
    wrong = controller.client.put("/v1/models/fraud/promote")
    assert (wrong.status_code, wrong.json["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["Allow"]
    for path in ("/v1/models/a%2Fb", "/v1/models//history", "/v1/models/fraud/"):
        assert controller.get(path).status_code == 404
    for path in ("/v1/models/a%00b", "/v1/models/a@b"):
        assert controller.get(path).json["code"] == "name_malformed"


def test_the_request_id_goes_along_and_a_bad_one_is_refused(controller: Controller) -> None:
    assert controller.client.get("/livez", headers={"X-Request-Id": "abc"}).headers["X-Request-Id"] == "abc"
    assert len(controller.client.get("/livez").headers["X-Request-Id"]) == 32
    for bad in ("a b", "x" * 129, "a,b"):
        answer = controller.client.get("/livez", headers={"X-Request-Id": bad})
        assert (answer.status_code, answer.json["code"]) == (400, "header_malformed")
        assert bad not in answer.headers["X-Request-Id"]


def test_two_authorization_headers_are_refused(controller: Controller) -> None:
    headers = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")]
    assert controller.client.get("/v1/models", headers=headers).status_code == 400


def test_probes_and_the_way_to_everything_take_no_token(controller: Controller) -> None:
    assert controller.client.get("/livez").json == {"status": "alive"}
    assert controller.client.get("/readyz").status_code == 200
    told = schemas.Role().load(controller.client.get("/stagedoor").json)
    assert (told["role"], told["gateway"]) == ("controller", "http://gateway")
    page = controller.client.get("/problems/conflict")
    assert "409" in page.text
    assert controller.client.get("/problems/nonsense").status_code == 404


def test_a_controller_that_misses_something_is_not_ready(tmp_path: Path) -> None:
    made = make_controller(tmp_path)
    object.__setattr__(made.services, "missing", lambda: ("the lease",))
    answer = made.client.get("/readyz")
    assert (answer.status_code, answer.json["missing"]) == (503, ["the lease"])


def test_nudges_wake_the_controller(controller: Controller) -> None:
    assert controller.client.post("/nudge").status_code == 401
    assert controller.client.post("/nudge", headers=controller.headers("viewer")).status_code == 403
    assert controller.client.post("/nudge", headers=controller.headers()).status_code == 202
    assert len(controller.woken) == 1


def test_a_webhook_wakes_once(controller: Controller) -> None:
    for delivery, woken in (("new", 1), ("seen", 1)):
        answer = controller.client.post("/webhooks/mlflow", data=b"{}", headers={"X-MLflow-Delivery-Id": delivery})
        assert (answer.status_code, len(controller.woken)) == (202, woken)
    assert controller.client.post("/webhooks/mlflow", data=b"x" * 65_537).status_code == 413


def test_metrics_count_by_rule_and_hold_no_names(controller: Controller) -> None:
    controller.get("/v1/models/fraud")
    controller.get("/v1/models/some-other-name")
    controller.client.get("/nowhere")
    text = controller.client.get("/metrics").text
    assert 'stagedoor_controller_requests_total{rule="/v1/models/<model>",status="200"} 1.0' in text
    assert 'rule="none"' in text
    assert "some-other-name" not in text
    assert "nowhere" not in text


def test_metrics_can_be_kept_for_viewers(tmp_path: Path) -> None:
    made = make_controller(tmp_path, metrics_need_token=True)
    assert made.client.get("/metrics").status_code == 401
    assert made.get("/metrics").status_code == 200


def test_the_document_describes_every_path_that_there_is(controller: Controller) -> None:
    described = {(one.method.upper(), one.path) for one in OPERATIONS}
    served = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in controller.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in {"HEAD", "OPTIONS"}
    }
    assert described == served
    assert controller.client.get("/openapi.json").json == json.loads(json.dumps(document()))


def test_twenty_bad_tokens_a_minute_are_enough(controller: Controller) -> None:
    statuses = [controller.client.get("/v1/models", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(25)]
    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_schemas_of_answers_know_all_that_is_sent(controller: Controller) -> None:
    controller.decide("1", 1.0, route=ROUTE)
    for path, schema in (("/v1/models/fraud/history", schemas.History), ("/v1/models/fraud/routes/5", schemas.Route)):
        answer = controller.get(path).json
        assert schema().validate(answer) == {}
        assert schema(unknown=EXCLUDE).load(answer)
