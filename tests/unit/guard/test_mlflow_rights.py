"""The guard of the MLflow server: who may do what, what reaches MLflow, and what is written down of it."""

import json
import time
from typing import Any

import pytest
import structlog

from stagedoor.mlflow_app.exchange import COOKIE

ORIGIN = "http://testserver"
ROLES = ("predictor", "viewer", "promoter", "admin")
VIEWER = {"viewer", "promoter", "admin"}
PROMOTER = {"promoter", "admin"}
ADMIN = {"admin"}
RIGHTS = [
    (VIEWER, "GET", "/"),
    (VIEWER, "HEAD", "/"),
    (VIEWER, "GET", "/static-files/main.js"),
    (VIEWER, "GET", "/metrics"),
    (VIEWER, "GET", "/api/2.0/mlflow/registered-models/search"),
    (VIEWER, "GET", "/ajax-api/2.0/mlflow/registered-models/alias"),
    (VIEWER, "GET", "/api/2.0/mlflow-artifacts/artifacts/1/model.onnx"),
    (VIEWER, "GET", "/get-artifact"),
    (VIEWER, "GET", "/api/2.0/mlflow/webhooks"),
    (VIEWER, "POST", "/api/2.0/mlflow/runs/search"),
    (VIEWER, "POST", "/ajax-api/2.0/mlflow/experiments/search"),
    (VIEWER, "POST", "/ajax-api/3.0/mlflow/traces/search"),
    (VIEWER, "POST", "/ajax-api/3.0/jobs/search"),
    (VIEWER, "POST", "/api/2.0/mlflow/registered-models/get-latest-versions"),
    (PROMOTER, "POST", "/api/2.0/mlflow/runs/search/more"),
    (PROMOTER, "PUT", "/api/2.0/mlflow/runs/search"),
    (PROMOTER, "POST", "/runs/search"),
    (PROMOTER, "POST", "/api/2.0/mlflow/runs/create"),
    (PROMOTER, "POST", "/api/2.0/mlflow/runs/log-batch"),
    (PROMOTER, "POST", "/api/2.0/mlflow/experiments/create"),
    (PROMOTER, "PUT", "/api/2.0/mlflow-artifacts/artifacts/1/model.onnx"),
    (PROMOTER, "PUT", "/api/2.0/mlflow-artifacts/artifacts/1/graphql"),
    (PROMOTER, "DELETE", "/ajax-api/2.0/mlflow-artifacts/artifacts/1/model.onnx"),
    (PROMOTER, "POST", "/ajax-api/2.0/mlflow/upload-artifact"),
    (PROMOTER, "POST", "/ajax-api/3.0/jobs/"),
    (PROMOTER, "POST", "/v1/traces"),
    (PROMOTER, "POST", "/gateway/chat/mlflow/invocations"),
    (PROMOTER, "GET", "/ajax-api/2.0/mlflow/gateway-proxy"),
    (PROMOTER, "POST", "/health"),
    (PROMOTER, "POST", "/api/9.9/mlflow/what-comes-next"),
    (PROMOTER, "PURGE", "/"),
    *(
        (PROMOTER, method, f"/{api}/mlflow/{tail}")
        for api in ("api/2.0", "ajax-api/2.0", "api/3.0", "ajax-api/3.0")
        for method, tail in (
            ("POST", "registered-models/alias"),
            ("DELETE", "registered-models/alias"),
            ("POST", "registered-models/set-tag"),
            ("DELETE", "registered-models/delete-tag"),
            ("POST", "registered-models/create"),
            ("POST", "registered-models/rename"),
            ("DELETE", "registered-models/delete"),
            ("POST", "model-versions/create"),
            ("POST", "model-versions/transition-stage"),
            ("POST", "model-versions/set-tag"),
            ("DELETE", "model-versions/delete"),
            ("POST", "webhooks"),
            ("DELETE", "webhooks/abc"),
            ("POST", "webhooks/abc/test"),
        )
    ),
    (ADMIN, "GET", "/ajax-api/3.0/mlflow/assistant/config"),
    (ADMIN, "POST", "/ajax-api/3.0/mlflow/assistant/message"),
]


@pytest.mark.parametrize(("allowed", "method", "path"), RIGHTS, ids=[f"{method} {path}" for _, method, path in RIGHTS])
def test_the_role_decides_and_nobody_else_reaches_mlflow(house: Any, allowed: set[str], method: str, path: str) -> None:
    assert house.client.request(method, path).status_code == 401
    assert house.client.request(method, path, headers=house.bearer(None)).status_code == 403
    assert house.stub.seen == []
    statuses = {role: house.client.request(method, path, headers=house.bearer(role)).status_code for role in ROLES}
    assert statuses == {role: 200 if role in allowed else 403 for role in ROLES}
    assert len(house.stub.seen) == len(allowed)


@pytest.mark.parametrize("path", ["/health", "/version"])
def test_health_needs_no_token(house: Any, path: str) -> None:
    assert house.client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/health/../api/2.0/mlflow/runs/get", "/healthy", "/health/", "//health", "/x/version"])
def test_what_only_looks_like_health_needs_one(house: Any, path: str) -> None:
    assert house.first_message(type="http", path=path)["status"] == 401


QUERY = {"query": "query Runs { mlflowGetRun { run { info { runId } } } }"}
GRAPHQL: dict[str, tuple[Any, int]] = {
    "query": (QUERY, 200),
    "short query": ({"query": "{ test }"}, 200),
    "mutation": ({"query": "mutation { testMutation { output } }"}, 403),
    "hidden mutation": ({"query": "query A { test } mutation B { testMutation { output } }", "operationName": "B"}, 403),
    "subscription": ({"query": "subscription { x }"}, 403),
    "fragment alone": ({"query": "fragment F on T { x }"}, 403),
    "batch": ([QUERY], 403),
    "not GraphQL": ({"query": "}{"}, 403),
    "no query": ({}, 403),
    "number": ({"query": 5}, 403),
}


@pytest.mark.parametrize(("body", "status"), GRAPHQL.values(), ids=GRAPHQL.keys())
def test_graphql_is_for_questions(house: Any, body: Any, status: int) -> None:
    """Whatever changes something goes through the table of rights, which cannot see into GraphQL."""
    assert house.client.post("/graphql", json=body, headers=house.bearer("viewer")).status_code == status
    assert house.client.post("/graphql", json=body, headers=house.bearer("promoter")).status_code == status
    assert house.client.post("/graphql", json=body, headers=house.bearer("admin")).status_code == 200
    assert house.client.post("/graphql", json=body, headers=house.bearer("predictor")).status_code == 403
    assert json.loads(house.stub.seen[-1]["body"]) == body


def test_a_refusal_is_a_problem_that_mlflows_client_reads_too(house: Any) -> None:
    answer = house.client.post("/api/2.0/mlflow/registered-models/alias", headers=house.bearer("viewer"))
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "permission_denied"
    assert answer.json()["error_code"] == "PERMISSION_DENIED"
    assert answer.json()["message"] == "This token may not move an alias. It needs one of the roles: promoter."


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer x.y.z", ""])
def test_a_bad_header_is_a_bad_token(house: Any, header: str) -> None:
    answer = house.client.get("/api/2.0/mlflow/runs/get", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_an_expired_token_says_so(house: Any) -> None:
    old = house.token("viewer", now=time.time() - 7200, lifetime_seconds=60)
    answer = house.client.get("/api/2.0/mlflow/runs/get", headers={"Authorization": f"Bearer {old}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")


def test_two_authorization_headers_are_malformed(house: Any) -> None:
    two = [("Authorization", f"Bearer {house.token('viewer')}"), ("Authorization", f"Bearer {house.token('admin')}")]
    assert house.client.get("/", headers=two).status_code == 400


def test_many_bad_tokens_have_to_wait(house: Any) -> None:
    bad = {"Authorization": "Bearer bad"}
    assert [house.client.get("/x", headers=bad).status_code for _ in range(6)] == [401] * 5 + [429]
    answer = house.client.post("/stagedoor/sign-in", data={"token": "bad"}, headers={"Origin": ORIGIN})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert house.client.get("/x", headers=house.bearer("viewer")).status_code == 200


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_a_claimed_method_is_ignored_and_not_passed_on(house: Any, header: str) -> None:
    house.client.get("/api/2.0/mlflow/registered-models/alias", headers={**house.bearer("viewer"), header: "DELETE"})
    assert house.stub.seen[0]["method"] == "GET"
    assert header.lower() not in house.stub.seen[0]["headers"]


def test_mlflow_never_sees_our_credentials(house: Any) -> None:
    cookies = f"a=1; {COOKIE}={house.token('viewer')}; b=2"
    house.client.get("/", headers={**house.bearer("viewer"), "Cookie": cookies, "X-Other": "stays"})
    headers = house.stub.seen[0]["headers"]
    assert "authorization" not in headers
    assert headers["cookie"] == "a=1; b=2"
    assert headers["x-other"] == "stays"


@pytest.mark.parametrize("role", [None, "viewer"])
def test_a_websocket_takes_a_promoter(house: Any, role: str | None) -> None:
    headers = [(b"authorization", house.bearer(role)["Authorization"].encode())] if role else []
    message = house.first_message(type="websocket", path="/ws", headers=headers)
    assert message == {"type": "websocket.close", "code": 1008}


# --- the registry's writes: author, nudge ---


ALIAS = {"name": "fraud", "alias": "champion", "version": "8"}


def test_a_write_is_passed_on_whole_logged_with_its_author_and_nudges(house: Any) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = house.client.post("/api/2.0/mlflow/registered-models/alias", json=ALIAS, headers=house.bearer("promoter"))
    assert answer.status_code == 200
    assert [json.loads(entry["body"]) for entry in house.stub.passed_on] == [ALIAS]
    line = next(entry for entry in lines if entry["event"] == "registry_write")
    assert line["action"] == "move an alias"
    assert line["subject"] == "the-promoter"
    assert line["target"] == ALIAS
    assert line["status"] == 200
    assert house.nudger.count == 1


def test_only_our_own_tags_show_their_value_in_the_log(house: Any) -> None:
    path = "/api/2.0/mlflow/registered-models/set-tag"
    with structlog.testing.capture_logs() as lines:
        for key in ("stagedoor.traffic", "note"):
            house.client.post(path, json={"name": "m", "key": key, "value": "v" * 1000}, headers=house.bearer("promoter"))
    targets = [entry["target"] for entry in lines if entry["event"] == "registry_write"]
    assert targets == [{"name": "m", "key": "stagedoor.traffic", "value": "v" * 256}, {"name": "m", "key": "note"}]


def test_a_deletion_by_query_is_logged_too(house: Any) -> None:
    with structlog.testing.capture_logs() as lines:
        house.client.request(
            "DELETE", "/api/2.0/mlflow/registered-models/alias?name=fraud&alias=champion", headers=house.bearer("promoter")
        )
    assert next(entry["target"] for entry in lines if entry["event"] == "registry_write") == {
        "name": "fraud",
        "alias": "champion",
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"[" * 10_000, b"\xff"])
def test_a_write_with_a_body_that_is_none_still_reaches_mlflow(house: Any, body: bytes) -> None:
    answer = house.client.post("/api/2.0/mlflow/registered-models/alias", content=body, headers=house.bearer("promoter"))
    assert answer.status_code == 200
    assert house.stub.seen[0]["body"] == body


def test_a_write_that_mlflow_refuses_is_logged_and_nudges_nobody(house: Any) -> None:
    house.stub.status = 404
    with structlog.testing.capture_logs() as lines:
        house.client.post("/api/2.0/mlflow/registered-models/alias", json=ALIAS, headers=house.bearer("promoter"))
    assert [entry["status"] for entry in lines if entry["event"] == "registry_write"] == [404]
    assert house.nudger.count == 0


@pytest.mark.parametrize("path", ["/api/2.0/mlflow/runs/create", "/api/2.0/mlflow/webhooks"])
def test_a_write_that_moves_no_traffic_nudges_nobody(house: Any, path: str) -> None:
    assert house.client.post(path, json={}, headers=house.bearer("promoter")).status_code == 200
    assert house.nudger.count == 0


def test_a_registry_write_larger_than_any_is_refused(house: Any) -> None:
    body = b" " * (4 * 1024 * 1024 + 1)
    answer = house.client.post("/api/2.0/mlflow/registered-models/set-tag", content=body, headers=house.bearer("promoter"))
    assert answer.status_code == 413
    assert house.stub.seen == []
