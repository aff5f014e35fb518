"""The guard of the MLflow server over a stub in MLflow's place: who may do what, and what reaches MLflow."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stagedoor.auth import build_authenticator, issue_token
from stagedoor.mlflow_app.access import local_path
from stagedoor.mlflow_app.exchange import COOKIE
from stagedoor.mlflow_app.guard import Guard
from stagedoor.mlflow_app.nudges import Nudger
from stagedoor.settings import Settings

SETTINGS = Settings(token_secret="s" * 40, bad_tokens_per_minute=5)
ORIGIN = "http://testserver"
ROLES = ("predictor", "viewer", "promoter", "admin")


class CountingNudger(Nudger):
    """Counts instead of posting."""

    def __init__(self) -> None:
        super().__init__((), str)
        self.count = 0

    def nudge(self) -> None:
        self.count += 1


class Stub:
    """In MLflow's place: answers with what it was sent."""

    def __init__(self) -> None:
        self.status = 200
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        self.seen.append({"method": request.method, "headers": dict(request.headers), "body": await request.body()})
        await JSONResponse({"ok": True}, self.status)(scope, receive, send)


class Client:
    """httpx over ASGI, one call after the other."""

    def __init__(self, app: ASGIApp, base_url: str = ORIGIN) -> None:
        self._runner = asyncio.Runner()
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app, client=("192.0.2.1", 5)), base_url=base_url)
        self.cookies = self._http.cookies

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()


def first_message(app: ASGIApp, **scope: Any) -> Message:
    """What the application answers first to a connection that httpx would not make."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    base = {"method": "GET", "path": "/", "query_string": b"", "headers": [], "client": None}
    asyncio.run(app({**base, **scope}, receive, send))
    return sent[0]


class House:
    """The guard with all around it."""

    def __init__(self, prefix: str = "") -> None:
        self.stub = Stub()
        self.nudger = CountingNudger()
        self.guard = Guard(self.stub, build_authenticator(SETTINGS), self.nudger, prefix=prefix)
        self.client = Client(self.guard)


@pytest.fixture
def house() -> Iterator[House]:
    it = House()
    yield it
    it.client.close()


def token(role: str | None, **changes: Any) -> str:
    return issue_token(SETTINGS, **{"subject": f"the-{role}", "roles": [role] if role else [], "now": time.time(), **changes})


def bearer(role: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(role)}"}


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
def test_the_role_decides_and_nobody_else_reaches_mlflow(house: House, allowed: set[str], method: str, path: str) -> None:
    assert house.client.request(method, path).status_code == 401
    assert house.client.request(method, path, headers=bearer(None)).status_code == 403
    assert house.stub.seen == []
    statuses = {role: house.client.request(method, path, headers=bearer(role)).status_code for role in ROLES}
    assert statuses == {role: 200 if role in allowed else 403 for role in ROLES}
    assert len(house.stub.seen) == len(allowed)


@pytest.mark.parametrize("path", ["/health", "/version"])
def test_health_needs_no_token(house: House, path: str) -> None:
    assert house.client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/health/../api/2.0/mlflow/runs/get", "/healthy", "/health/", "//health", "/x/version"])
def test_what_only_looks_like_health_needs_one(house: House, path: str) -> None:
    assert first_message(house.guard, type="http", path=path)["status"] == 401


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
def test_viewers_may_query_graphql_and_change_nothing(house: House, body: Any, status: int) -> None:
    assert house.client.post("/graphql", json=body, headers=bearer("viewer")).status_code == status
    assert house.client.post("/graphql", json=body, headers=bearer("promoter")).status_code == 200
    assert house.client.post("/graphql", json=body, headers=bearer("predictor")).status_code == 403
    assert json.loads(house.stub.seen[-1]["body"]) == body


def test_a_refusal_is_a_problem_that_mlflows_client_reads_too(house: House) -> None:
    answer = house.client.post("/api/2.0/mlflow/registered-models/alias", headers=bearer("viewer"))
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "permission_denied"
    assert answer.json()["error_code"] == "PERMISSION_DENIED"
    assert answer.json()["message"] == "This token may not move an alias. It needs one of the roles: promoter."


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer x.y.z", ""])
def test_a_bad_header_is_a_bad_token(house: House, header: str) -> None:
    answer = house.client.get("/api/2.0/mlflow/runs/get", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_an_expired_token_says_so(house: House) -> None:
    old = token("viewer", now=time.time() - 7200, lifetime_seconds=60)
    answer = house.client.get("/api/2.0/mlflow/runs/get", headers={"Authorization": f"Bearer {old}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")


def test_two_authorization_headers_are_malformed(house: House) -> None:
    two = [("Authorization", f"Bearer {token('viewer')}"), ("Authorization", f"Bearer {token('admin')}")]
    assert house.client.get("/", headers=two).status_code == 400


def test_many_bad_tokens_have_to_wait(house: House) -> None:
    bad = {"Authorization": "Bearer bad"}
    assert [house.client.get("/x", headers=bad).status_code for _ in range(6)] == [401] * 5 + [429]
    answer = house.client.post("/stagedoor/sign-in", data={"token": "bad"}, headers={"Origin": ORIGIN})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert house.client.get("/x", headers=bearer("viewer")).status_code == 200


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_a_claimed_method_is_ignored_and_not_passed_on(house: House, header: str) -> None:
    house.client.get("/api/2.0/mlflow/registered-models/alias", headers={**bearer("viewer"), header: "DELETE"})
    assert house.stub.seen[0]["method"] == "GET"
    assert header.lower() not in house.stub.seen[0]["headers"]


def test_mlflow_never_sees_our_credentials(house: House) -> None:
    cookies = f"a=1; {COOKIE}={token('viewer')}; b=2"
    house.client.get("/", headers={**bearer("viewer"), "Cookie": cookies, "X-Other": "stays"})
    headers = house.stub.seen[0]["headers"]
    assert "authorization" not in headers
    assert headers["cookie"] == "a=1; b=2"
    assert headers["x-other"] == "stays"


@pytest.mark.parametrize("headers", [[], [(b"authorization", f"Bearer {token('viewer')}".encode())]], ids=["nobody", "viewer"])
def test_a_websocket_takes_a_promoter(house: House, headers: list[tuple[bytes, bytes]]) -> None:
    message = first_message(house.guard, type="websocket", path="/ws", headers=headers)
    assert message == {"type": "websocket.close", "code": 1008}


# --- the registry's writes: author, nudge ---


ALIAS = {"name": "fraud", "alias": "champion", "version": "8"}


def test_a_write_is_passed_on_whole_logged_with_its_author_and_nudges(house: House) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = house.client.post("/api/2.0/mlflow/registered-models/alias", json=ALIAS, headers=bearer("promoter"))
    assert answer.status_code == 200
    assert json.loads(house.stub.seen[0]["body"]) == ALIAS
    line = next(entry for entry in lines if entry["event"] == "registry_write")
    assert line["action"] == "move an alias"
    assert line["subject"] == "the-promoter"
    assert line["target"] == ALIAS
    assert line["status"] == 200
    assert house.nudger.count == 1


def test_only_our_own_tags_show_their_value_in_the_log(house: House) -> None:
    path = "/api/2.0/mlflow/registered-models/set-tag"
    with structlog.testing.capture_logs() as lines:
        for key in ("stagedoor.traffic", "note"):
            house.client.post(path, json={"name": "m", "key": key, "value": "v" * 1000}, headers=bearer("promoter"))
    targets = [entry["target"] for entry in lines if entry["event"] == "registry_write"]
    assert targets == [{"name": "m", "key": "stagedoor.traffic", "value": "v" * 256}, {"name": "m", "key": "note"}]


def test_a_deletion_by_query_is_logged_too(house: House) -> None:
    with structlog.testing.capture_logs() as lines:
        house.client.request(
            "DELETE", "/api/2.0/mlflow/registered-models/alias?name=fraud&alias=champion", headers=bearer("promoter")
        )
    assert next(entry["target"] for entry in lines if entry["event"] == "registry_write") == {
        "name": "fraud",
        "alias": "champion",
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"[" * 10_000, b"\xff"])
def test_a_write_with_a_body_that_is_none_still_reaches_mlflow(house: House, body: bytes) -> None:
    answer = house.client.post("/api/2.0/mlflow/registered-models/alias", content=body, headers=bearer("promoter"))
    assert answer.status_code == 200
    assert house.stub.seen[0]["body"] == body


def test_a_write_that_mlflow_refuses_is_logged_and_nudges_nobody(house: House) -> None:
    house.stub.status = 404
    with structlog.testing.capture_logs() as lines:
        house.client.post("/api/2.0/mlflow/registered-models/alias", json=ALIAS, headers=bearer("promoter"))
    assert [entry["status"] for entry in lines if entry["event"] == "registry_write"] == [404]
    assert house.nudger.count == 0


@pytest.mark.parametrize("path", ["/api/2.0/mlflow/runs/create", "/api/2.0/mlflow/webhooks"])
def test_a_write_that_moves_no_traffic_nudges_nobody(house: House, path: str) -> None:
    assert house.client.post(path, json={}, headers=bearer("promoter")).status_code == 200
    assert house.nudger.count == 0


def test_a_registry_write_larger_than_any_is_refused(house: House) -> None:
    body = b" " * (4 * 1024 * 1024 + 1)
    answer = house.client.post("/api/2.0/mlflow/registered-models/set-tag", content=body, headers=bearer("promoter"))
    assert answer.status_code == 413
    assert house.stub.seen == []


# --- people ---


PAGE = {"Accept": "text/html,application/xhtml+xml"}


def sign_in(house: House, role: str, back: str = "/") -> Any:
    form = {"token": token(role), "next": back}
    return house.client.post("/stagedoor/sign-in", data=form, headers={"Origin": ORIGIN})


def test_a_browser_is_led_to_the_sign_in_page_and_back(house: House) -> None:
    away = house.client.get("/get-artifact?path=a%20b", headers=PAGE)
    assert away.status_code == 303
    page = house.client.get(away.headers["location"])
    assert page.status_code == 200
    assert 'name="next" value="/get-artifact?path=a%20b"' in page.text
    back = sign_in(house, "viewer", "/get-artifact?path=a%20b")
    assert back.status_code == 303
    assert back.headers["location"] == "/get-artifact?path=a%20b"
    cookie = back.headers["set-cookie"]
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=86"):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert house.client.get("/", headers=PAGE).status_code == 200


def test_the_way_back_keeps_its_percent_signs(house: House) -> None:
    away = house.client.get("/a%20b%3Fc?d=%26", headers=PAGE)
    assert 'name="next" value="/a%20b%3Fc?d=%26"' in house.client.get(away.headers["location"]).text


def test_over_https_the_cookie_is_secure(house: House) -> None:
    client = Client(house.guard, "https://testserver")
    form = {"token": token("viewer")}
    answer = client.post("/stagedoor/sign-in", data=form, headers={"Origin": "https://testserver"})
    client.close()
    assert "Secure" in answer.headers["set-cookie"]


def test_a_script_gets_a_problem_where_a_person_gets_a_page(house: House) -> None:
    answer = house.client.get("/ajax-api/2.0/mlflow/registered-models/search", headers={"Accept": "*/*"})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


def test_an_expired_session_says_so_on_the_sign_in_page(house: House) -> None:
    house.client.cookies.set(COOKIE, token("viewer", now=time.time() - 7200, lifetime_seconds=60))
    away = house.client.get("/", headers=PAGE)
    assert "expired" in house.client.get(away.headers["location"]).text


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 401),
        ({"token": ""}, 401),
        ({"token": "bad"}, 401),
        ({"token": "x" * 40_000}, 413),
        ({"token": token("predictor")}, 403),
        ({"token": token("viewer", models=["m" * 250] * 15)}, 413),
    ],
    ids=["nothing", "empty", "bad", "huge form", "no viewer", "too long for a cookie"],
)
def test_a_token_that_does_not_do_shows_why_and_sets_nothing(house: House, form: dict[str, str], status: int) -> None:
    answer = house.client.post("/stagedoor/sign-in", data=form, headers={"Origin": ORIGIN})
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert "set-cookie" not in answer.headers


def test_a_token_pasted_with_line_breaks_and_bearer_is_understood(house: House) -> None:
    text = token("viewer")
    form = {"token": f"  Bearer {text[:50]}\r\n {text[50:]} \n"}
    assert house.client.post("/stagedoor/sign-in", data=form, headers={"Origin": ORIGIN}).status_code == 303


def test_the_page_escapes_what_it_was_given(house: House) -> None:
    page = house.client.get('/stagedoor/sign-in?next=/"><script>alert(1)</script>')
    assert "<script>alert" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"


def test_signing_out_ends_the_session(house: House) -> None:
    sign_in(house, "viewer")
    assert "signed in as the-viewer" in house.client.get("/stagedoor/sign-in").text
    assert house.client.post("/stagedoor/sign-out", headers={"Origin": "http://evil.example"}).status_code == 403
    assert house.client.get("/", headers=PAGE).status_code == 200
    assert house.client.post("/stagedoor/sign-out", headers={"Origin": ORIGIN}).status_code == 303
    assert house.client.get("/", headers=PAGE).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": ORIGIN}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}, 200),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://testserver:8080"}, 403),
        ({"Origin": "http://testserver.evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": ORIGIN}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
    ],
)
def test_a_change_by_cookie_must_come_from_our_own_page(house: House, headers: dict[str, str], status: int) -> None:
    sign_in(house, "promoter")
    for path in ("registered-models/alias", "runs/create", "model-versions/transition-stage"):
        assert house.client.post(f"/ajax-api/2.0/mlflow/{path}", json=ALIAS, headers=headers).status_code == status
    assert house.client.post("/graphql", json={"query": "mutation { x }"}, headers=headers).status_code == status


def test_a_bearer_token_counts_before_a_cookie(house: House) -> None:
    sign_in(house, "promoter")
    headers = {**bearer("viewer"), "Origin": ORIGIN}
    assert house.client.post("/api/2.0/mlflow/registered-models/alias", json=ALIAS, headers=headers).status_code == 403


def test_a_person_without_the_role_for_a_page_is_told_which(house: House) -> None:
    house.client.cookies.set(COOKIE, token("predictor"))
    answer = house.client.get("/", headers=PAGE)
    assert answer.status_code == 403
    assert "It needs one of the roles: viewer." in answer.text


def test_the_sign_in_page_takes_no_other_method(house: House) -> None:
    assert house.client.request("PUT", "/stagedoor/sign-in").status_code == 405
    assert house.client.get("/stagedoor/sign-out").status_code == 405


def test_under_a_static_prefix_the_same_rights_hold() -> None:
    house = House(prefix="/mlflow")
    assert house.client.get("/mlflow/health").status_code == 200
    away = house.client.get("/mlflow/", headers=PAGE)
    assert away.headers["location"].startswith("/mlflow/stagedoor/sign-in?")
    assert house.client.get("/mlflow/stagedoor/sign-in").status_code == 200
    path = "/mlflow/api/2.0/mlflow/registered-models/alias"
    assert house.client.post(path, json=ALIAS, headers=bearer("viewer")).status_code == 403
    assert house.client.post(path, json=ALIAS, headers=bearer("promoter")).status_code == 200
    assert house.nudger.count == 1
    form = {"token": token("viewer")}
    signed_in = house.client.post("/mlflow/stagedoor/sign-in", data=form, headers={"Origin": ORIGIN})
    assert signed_in.headers["location"] == "/mlflow/"
    house.client.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/a\r\nb",
        "javascript:x",
    ],
)
def test_a_way_back_that_leads_elsewhere_leads_home(text: str) -> None:
    assert local_path(text) == "/"


@given(st.text(st.sampled_from("/\\:.@?# \t\r\nehtps"), max_size=12))
def test_the_way_back_never_leaves_this_server(text: str) -> None:
    path = local_path(text)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    assert path.isprintable()
