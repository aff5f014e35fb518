"""A person at the guard of the MLflow server: the sign-in page, the session cookie, and what other sites may not do with it."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagedoor.mlflow_app.access import local_path
from stagedoor.mlflow_app.exchange import COOKIE

ORIGIN = "http://testserver"
ALIAS = {"name": "fraud", "alias": "champion", "version": "8"}
PAGE = {"Accept": "text/html,application/xhtml+xml"}


def test_a_browser_is_led_to_the_sign_in_page_and_back(house: Any) -> None:
    away = house.client.get("/get-artifact?path=a%20b", headers=PAGE)
    assert away.status_code == 303
    page = house.client.get(away.headers["location"])
    assert page.status_code == 200
    assert 'name="next" value="/get-artifact?path=a%20b"' in page.text
    back = house.sign_in("viewer", "/get-artifact?path=a%20b")
    assert back.status_code == 303
    assert back.headers["location"] == "/get-artifact?path=a%20b"
    cookie = back.headers["set-cookie"]
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=86"):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert house.client.get("/", headers=PAGE).status_code == 200


def test_the_way_back_keeps_its_percent_signs(house: Any) -> None:
    away = house.client.get("/a%20b%3Fc?d=%26", headers=PAGE)
    assert 'name="next" value="/a%20b%3Fc?d=%26"' in house.client.get(away.headers["location"]).text


def test_over_https_the_cookie_is_secure(house: Any) -> None:
    client = house.at("https://testserver")
    form = {"token": house.token("viewer")}
    answer = client.post("/stagedoor/sign-in", data=form, headers={"Origin": "https://testserver"})
    assert "Secure" in answer.headers["set-cookie"]


def test_a_script_gets_a_problem_where_a_person_gets_a_page(house: Any) -> None:
    answer = house.client.get("/ajax-api/2.0/mlflow/registered-models/search", headers={"Accept": "*/*"})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


def test_an_expired_session_says_so_on_the_sign_in_page(house: Any) -> None:
    house.client.cookies.set(COOKIE, house.token("viewer", now=time.time() - 7200, lifetime_seconds=60))
    away = house.client.get("/", headers=PAGE)
    assert "expired" in house.client.get(away.headers["location"]).text


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 401),
        ({"token": ""}, 401),
        ({"token": "bad"}, 401),
        ({"token": "x" * 40_000}, 413),
    ],
    ids=["nothing", "empty", "bad", "huge form"],
)
def test_a_token_that_does_not_do_shows_why_and_sets_nothing(house: Any, form: dict[str, str], status: int) -> None:
    answer = house.client.post("/stagedoor/sign-in", data=form, headers={"Origin": ORIGIN})
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("role", "models", "status"), [("predictor", ["*"], 403), ("viewer", ["m" * 250] * 15, 413)], ids=["no viewer", "too long"]
)
def test_a_good_token_that_cannot_open_a_session_sets_nothing(house: Any, role: str, models: list[str], status: int) -> None:
    form = {"token": house.token(role, models=models)}
    answer = house.client.post("/stagedoor/sign-in", data=form, headers={"Origin": ORIGIN})
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert "set-cookie" not in answer.headers


def test_a_token_pasted_with_line_breaks_and_bearer_is_understood(house: Any) -> None:
    text = house.token("viewer")
    form = {"token": f"  Bearer {text[:50]}\r\n {text[50:]} \n"}
    assert house.client.post("/stagedoor/sign-in", data=form, headers={"Origin": ORIGIN}).status_code == 303


def test_the_page_escapes_what_it_was_given(house: Any) -> None:
    page = house.client.get('/stagedoor/sign-in?next=/"><script>alert(1)</script>')
    assert "<script>alert" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"


def test_signing_out_ends_the_session(house: Any) -> None:
    house.sign_in("viewer")
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
def test_a_change_by_cookie_must_come_from_our_own_page(house: Any, headers: dict[str, str], status: int) -> None:
    house.sign_in("admin")
    for path in ("registered-models/alias", "runs/create", "model-versions/transition-stage"):
        assert house.client.post(f"/ajax-api/2.0/mlflow/{path}", json=ALIAS, headers=headers).status_code == status
    assert house.client.post("/graphql", json={"query": "mutation { x }"}, headers=headers).status_code == status


def test_a_bearer_token_counts_before_a_cookie(house: Any) -> None:
    house.sign_in("promoter")
    headers = {**house.bearer("viewer"), "Origin": ORIGIN}
    assert house.client.post("/api/2.0/mlflow/registered-models/alias", json=ALIAS, headers=headers).status_code == 403


def test_a_person_without_the_role_for_a_page_is_told_which(house: Any) -> None:
    house.client.cookies.set(COOKIE, house.token("predictor"))
    answer = house.client.get("/", headers=PAGE)
    assert answer.status_code == 403
    assert "It needs one of the roles: viewer." in answer.text


def test_the_sign_in_page_takes_no_other_method(house: Any) -> None:
    assert house.client.request("PUT", "/stagedoor/sign-in").status_code == 405
    assert house.client.get("/stagedoor/sign-out").status_code == 405


def test_under_a_static_prefix_the_same_rights_hold(prefixed_house: Any) -> None:
    house = prefixed_house
    assert house.client.get("/mlflow/health").status_code == 200
    away = house.client.get("/mlflow/", headers=PAGE)
    assert away.headers["location"].startswith("/mlflow/stagedoor/sign-in?")
    assert house.client.get("/mlflow/stagedoor/sign-in").status_code == 200
    path = "/mlflow/api/2.0/mlflow/registered-models/alias"
    assert house.client.post(path, json=ALIAS, headers=house.bearer("viewer")).status_code == 403
    assert house.client.post(path, json=ALIAS, headers=house.bearer("promoter")).status_code == 200
    assert house.nudger.count == 1
    form = {"token": house.token("viewer")}
    signed_in = house.client.post("/mlflow/stagedoor/sign-in", data=form, headers={"Origin": ORIGIN})
    assert signed_in.headers["location"] == "/mlflow/"


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
