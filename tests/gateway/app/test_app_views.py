"""Models, health, status, nudges: who may read what, and that answers are as documented."""

import base64
import hashlib
import hmac
import time
from typing import Any

import orjson
import pytest

from serving.gateway import schemas
from stagedoor.domain.snapshot import NOTHING

DOCUMENTED = (
    ("/models", schemas.Models),
    ("/models/fraud", schemas.ModelDetail),
    ("/models/fraud@challenger", schemas.ModelDetail),
    ("/models/fraud/3", schemas.ModelDetail),
    ("/models/fraud/Production", schemas.ModelDetail),
    ("/model/info", schemas.ModelInfo),
    ("/v2", schemas.ServerMetadata),
    ("/v2/health/live", schemas.Live),
    ("/v2/health/ready", schemas.Ready),
    ("/v2/models/fraud", schemas.ModelMetadata),
    ("/v2/models/fraud/versions/3", schemas.ModelMetadata),
    ("/v2/models/fraud/ready", schemas.ModelReady),
    ("/v2/models/fraud/versions/2/ready", schemas.ModelReady),
    ("/livez", schemas.Livez),
    ("/readyz", schemas.Readyz),
    ("/health", schemas.Health),
    ("/status", schemas.Status),
    ("/stagedoor", schemas.Introduction),
)


@pytest.mark.parametrize(("path", "schema"), DOCUMENTED, ids=[path for path, _ in DOCUMENTED])
def test_answers_are_as_their_schemas_say(gateway: Any, path: str, schema: Any) -> None:
    answer = gateway.client.get(path, headers=gateway.token("admin"))
    assert answer.status_code == 200
    assert schema().validate(answer.json) == {}


NEED_A_TOKEN = ("/models", "/models/fraud", "/model/info", "/v2/models/fraud", "/v2/models/fraud/ready", "/status")


@pytest.mark.parametrize("path", NEED_A_TOKEN)
def test_without_a_token_nothing_is_told_of_models(gateway: Any, path: str) -> None:
    answer = gateway.client.get(path)
    assert (answer.status_code, answer.json["code"]) == (401, "token_invalid")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert b"champion" not in answer.data
    assert schemas.Problem().validate(answer.json) == {}


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/health", "/v2", "/v2/health/live", "/v2/health/ready", "/metrics", "/stagedoor"]
)
def test_probes_need_no_token(gateway: Any, path: str) -> None:
    assert gateway.client.get(path).status_code == 200


def test_an_expired_token_is_told_as_expired(gateway: Any) -> None:
    answer = gateway.client.get("/models", headers=gateway.token("viewer", lifetime=-3600))
    assert (answer.status_code, answer.json["code"]) == (401, "token_expired")


def test_two_authorization_headers_are_refused(gateway: Any) -> None:
    token = gateway.token("admin")["Authorization"]
    answer = gateway.client.get("/models", headers={"Authorization": f"{token},{token}"})
    assert (answer.status_code, answer.json["code"]) == (400, "header_malformed")


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "models", "seen"),
    [
        (("predictor",), ("*",), ["fraud", "payroll"]),
        (("viewer",), ("*",), ["fraud", "payroll"]),
        (("predictor",), ("fr*",), ["fraud"]),
        (("viewer",), ("fr*",), ["fraud"]),
        (("viewer",), (), []),
    ],
)
def test_the_list_shows_what_the_tokens_patterns_match(gateway: Any, roles: Any, models: Any, seen: list[str]) -> None:
    answer = gateway.client.get("/models", headers=gateway.token(*roles, models=models))
    assert [model["name"] for model in answer.json["models"]] == seen


def test_a_token_without_a_role_lists_nothing(gateway: Any) -> None:
    assert gateway.client.get("/models", headers=gateway.token()).status_code == 403


PAIRS = ("/models/{}", "/models/{}@champion", "/v2/models/{}", "/v2/models/{}/ready", "/model/info?model={}")


@pytest.mark.parametrize("path", PAIRS)
@pytest.mark.parametrize("role", ["predictor", "viewer"])
def test_a_model_one_may_not_see_answers_as_one_that_does_not_exist(gateway: Any, path: str, role: str) -> None:
    token = gateway.token(role, models=("other*",))
    hidden = gateway.client.get(path.format("fraud"), headers=token | {"X-Request-Id": "same"})
    absent = gateway.client.get(path.format("fxaud"), headers=token | {"X-Request-Id": "same"})
    assert hidden.status_code == absent.status_code == 404
    assert hidden.data.replace(b"fraud", b"fxaud") == absent.data
    for name in ("Content-Type", "Cache-Control", "X-Request-Id"):
        assert hidden.headers[name] == absent.headers[name]


TARGETS = (
    ("fraud", 200, "2"),
    ("fraud@champion", 200, "2"),
    ("fraud@challenger", 200, "3"),
    ("fraud/3", 200, "3"),
    ("fraud/production", 200, "2"),
    ("fraud/1", 200, "1"),
    ("fraud/4", 503, "version_refused"),
    ("fraud/10", 503, "version_not_ready"),
    ("fraud/99", 404, "model_not_found"),
    ("fraud@nobody", 404, "model_not_found"),
    ("fraud/Staging", 404, "model_not_found"),
    ("payroll", 404, "model_not_found"),
    ("nothing", 404, "model_not_found"),
    ("fraud/01", 400, "name_malformed"),
    ("fraud/-1", 400, "name_malformed"),
    ("fraud@v1", 400, "name_malformed"),
    ("fraud@a@b", 400, "name_malformed"),
    ("models:/fraud", 400, "name_malformed"),
    ("../fraud", 400, "name_malformed"),
    ("x" * 300, 400, "name_malformed"),
)


@pytest.mark.parametrize(("ref", "status", "expected"), TARGETS, ids=[target[0][:20] for target in TARGETS])
def test_a_reference_means_what_it_means_in_mlflow(gateway: Any, ref: str, status: int, expected: str) -> None:
    answer = gateway.client.get(f"/models/{ref}", headers=gateway.token("admin"))
    assert answer.status_code == status
    assert answer.json["version" if status == 200 else "code"] == expected


@pytest.mark.parametrize("path", ["/models/fraud/3", "/v2/models/fraud/versions/3", "/models/fraud/Production"])
def test_reading_about_a_pinned_version_takes_a_tester_or_a_viewer(gateway: Any, path: str) -> None:
    statuses = {
        role: gateway.client.get(path, headers=gateway.token(role)).status_code for role in ("predictor", "tester", "viewer")
    }
    assert statuses == {"predictor": 403, "tester": 200, "viewer": 200}


def test_before_the_first_snapshot_models_are_not_ready_rather_than_absent(gateway: Any) -> None:
    gateway.pool.view = NOTHING
    answer = gateway.client.get("/models/fraud", headers=gateway.token("predictor"))
    assert (answer.status_code, answer.json["code"]) == (503, "not_ready")
    assert answer.headers["Retry-After"] == "1"


# --- health -----------------------------------------------------------------------------------------------------------


def test_a_gateway_without_a_snapshot_is_alive_and_not_ready(gateway: Any) -> None:
    gateway.pool.view = NOTHING
    assert gateway.client.get("/livez").status_code == 200
    for path in ("/readyz", "/health", "/v2/health/ready"):
        assert gateway.client.get(path).status_code == 503
    assert gateway.client.get("/health").json["status"] == "unhealthy"


def test_an_empty_registry_that_was_read_is_ready(gateway: Any) -> None:
    gateway.pool.view = NOTHING
    gateway.beat(models=0)
    assert gateway.client.get("/readyz").status_code == 200


def test_a_dead_registry_degrades_and_shows_its_staleness(gateway: Any) -> None:
    gateway.beat(succeeded_ago=45.0, error="MLflow does not answer.")
    ready = gateway.client.get("/readyz")
    assert (ready.status_code, ready.json["registry_error"]) == (200, "MLflow does not answer.")
    assert 44 < ready.json["staleness_seconds"] < 60
    health = gateway.client.get("/health")
    assert (health.status_code, health.json["status"]) == (200, "degraded")
    assert any("45 seconds ago" in reason for reason in health.json["reasons"])


def test_health_names_models_to_viewers_only(gateway: Any) -> None:
    everybody = gateway.client.get("/health")
    assert b"fraud" not in everybody.data
    predictor = gateway.client.get("/health", headers=gateway.token("predictor"))
    assert "problems" not in predictor.json
    viewer = gateway.client.get("/health", headers=gateway.token("viewer", models=("fraud",)))
    assert list(viewer.json["problems"]) == ["fraud"]
    stranger = gateway.client.get("/health", headers={"Authorization": "Bearer nonsense"})
    assert (stranger.status_code, "problems" in stranger.json) == (200, False)


def test_a_damaged_snapshot_file_leaves_the_last_good_one_in_place(gateway: Any) -> None:
    viewer = gateway.token("viewer")
    assert gateway.client.get("/status", headers=viewer).json["serial"] == 7
    gateway.paths.snapshot.write_text("{")
    gateway.paths.heartbeat.write_text("[]")
    answer = gateway.client.get("/status", headers=viewer)
    assert (answer.status_code, answer.json["serial"], answer.json["registry"]) == (200, 7, None)


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_tells_wish_reality_and_difference(gateway: Any) -> None:
    body = gateway.client.get("/status", headers=gateway.token("viewer")).json
    fraud = body["models"][0]
    assert [version["version"] for version in fraud["versions"]] == ["2", "3", "4", "10"]
    assert fraud["versions"][2]["code"] == "load_failed"
    assert [(arm["version"], arm["weight"]) for arm in fraud["route"]["arms"]] == [("2", 9000), ("3", 1000)]
    assert fraud["route"]["sticky"] == "header:X-User-Id"
    assert len(fraud["problems"]) == 1


@pytest.mark.parametrize("role", ["predictor", "tester"])
def test_status_is_for_viewers(gateway: Any, role: str) -> None:
    answer = gateway.client.get("/status", headers=gateway.token(role))
    assert (answer.status_code, answer.json["code"]) == (403, "permission_denied")


def test_status_shows_living_workers_without_the_models_that_are_hidden(gateway: Any) -> None:
    folder = gateway.paths.workers
    folder.mkdir(parents=True)
    report = {"pid": 1, "serial": 7, "models": {"fraud": {}, "payroll": {}}, "updated_at": time.time()}
    (folder / "1.json").write_bytes(orjson.dumps(report))
    (folder / "2.json").write_bytes(orjson.dumps(report | {"pid": 2, "updated_at": time.time() - 60}))
    (folder / "3.json").write_text("damaged")
    body = gateway.client.get("/status", headers=gateway.token("viewer", models=("fraud",))).json
    assert [(worker["pid"], list(worker["models"])) for worker in body["workers"]] == [(1, ["fraud"])]
    assert b"payroll" not in orjson.dumps(body)


# --- nudges -----------------------------------------------------------------------------------------------------------


def signed(body: bytes, secret: str, *, age: int = 0) -> dict[str, str]:
    timestamp = str(int(time.time()) - age)
    digest = hmac.new(secret.encode(), f"d-1.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"X-MLflow-Delivery-Id": "d-1", "X-MLflow-Timestamp": timestamp, "X-MLflow-Signature": signature}


@pytest.mark.parametrize("role", ["promoter", "admin"])
def test_a_promoter_may_nudge(gateway: Any, role: str) -> None:
    answer = gateway.client.post("/nudge", headers=gateway.token(role))
    assert (answer.status_code, answer.json) == (202, {"status": "accepted"})
    assert gateway.paths.nudge.exists()


def test_a_signed_webhook_nudges_without_a_token(gateway: Any) -> None:
    body = b'{"entity":"model_version_alias","action":"created"}'
    headers = signed(body, gateway.services.settings.webhook_secret.get_secret_value())
    assert gateway.client.post("/nudge", data=body, headers=headers).status_code == 202
    assert gateway.paths.nudge.exists()


def refusals(gateway: Any) -> dict[str, tuple[dict[str, Any], int, str]]:
    secret = gateway.services.settings.webhook_secret.get_secret_value()
    return {
        "nobody": ({}, 401, "token_invalid"),
        "viewer": ({"headers": gateway.token("viewer")}, 403, "permission_denied"),
        "guessed secret": ({"data": b"{}", "headers": signed(b"{}", "guessed")}, 401, "token_invalid"),
        "old webhook": ({"data": b"{}", "headers": signed(b"{}", secret, age=400)}, 401, "token_invalid"),
        "altered webhook": ({"data": b"[]", "headers": signed(b"{}", secret)}, 401, "token_invalid"),
        "large body": ({"data": b"x" * 65_537, "headers": gateway.token("admin")}, 413, "body_too_large"),
    }


@pytest.mark.parametrize("case", ["nobody", "viewer", "guessed secret", "old webhook", "altered webhook", "large body"])
def test_nobody_else_may_nudge(gateway: Any, case: str) -> None:
    request, status, code = refusals(gateway)[case]
    answer = gateway.client.post("/nudge", **request)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert not gateway.paths.nudge.exists()


def test_without_a_webhook_secret_no_signature_is_good(make: Any) -> None:
    gateway = make(webhook_secret=None)
    assert gateway.client.post("/nudge", data=b"{}", headers=signed(b"{}", "")).status_code == 401
