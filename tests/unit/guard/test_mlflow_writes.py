"""What the guard lets through of the registry's writes, and whom it puts them down to. A stub stands in MLflow's place."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from stagedoor.domain.intent import Author, RegisteredModel, author_of

MLFLOW = "/api/2.0/mlflow"
MODEL_KEYS = ("stagedoor.route", "stagedoor.by.champion", "stagedoor.by.Production", "stagedoor.drill", "stagedoor.approval")
VERSION_KEYS = ("stagedoor.verdict", "stagedoor.approved", "stagedoor.gate.signature")
FREE_ON_MODELS = (
    "stagedoor.rollout",
    "stagedoor.traffic",
    "stagedoor.sticky",
    "stagedoor.gate.latency",
    "stagedoor.control",
    "stagedoor.batch",
    "stagedoor.cache",
    "stagedoor.compile",
    "x",
)
FREE_ON_VERSIONS = ("stagedoor.sha256", "semver", "stagedoor.route", "note")


def tagging(kind: str, key: str, *, way: str = "set-tag") -> tuple[str, str, Any]:
    named = {"name": "fraud"} | ({"version": "8"} if kind == "model-versions" else {})
    if way == "create":
        return "POST", f"{MLFLOW}/{kind}/create", named | {"tags": [{"key": "note", "value": "1"}, {"key": key, "value": "x"}]}
    body = named | {"key": key} | ({"value": "x"} if way == "set-tag" else {})
    return ("POST" if way == "set-tag" else "DELETE"), f"{MLFLOW}/{kind}/{way}", body


GUARDED = [
    tagging(kind, key, way=way)
    for kind, keys in (("registered-models", MODEL_KEYS), ("model-versions", VERSION_KEYS))
    for key in keys
    for way in ("set-tag", "delete-tag", "create")
]


def send(house: Any, role: str, method: str, path: str, body: Any, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return house.client.request(method, path, content=content, headers=house.bearer(role) | headers)


@pytest.mark.parametrize(("method", "path", "body"), GUARDED, ids=[f"{row[1][16:]} {json.dumps(row[2])}" for row in GUARDED])
def test_what_the_controller_finds_only_an_admin_writes(house: Any, method: str, path: str, body: Any) -> None:
    answer = send(house, "promoter", method, path, body)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert (
        answer.json()["detail"]
        == "This token may not write a tag that only the controller writes. It needs one of the roles: admin."
    )
    assert house.stub.seen == []
    assert send(house, "admin", method, path, body).status_code == 200


@pytest.mark.parametrize(
    ("kind", "key"),
    [("registered-models", key) for key in FREE_ON_MODELS] + [("model-versions", key) for key in FREE_ON_VERSIONS],
)
@pytest.mark.parametrize("way", ["set-tag", "delete-tag", "create"])
def test_every_other_tag_is_a_promoters(house: Any, kind: str, key: str, way: str) -> None:
    assert send(house, "promoter", *tagging(kind, key, way=way)).status_code == 200


ROUTE = {"name": "fraud", "key": "stagedoor.route", "value": "{}"}
DISGUISES: dict[str, tuple[str, str, Any]] = {
    "the way of the UI": ("POST", "/ajax-api/2.0/mlflow/registered-models/set-tag", ROUTE),
    "an older API": ("POST", "/api/2.0/preview/mlflow/registered-models/set-tag", ROUTE),
    "another version of the API": ("POST", "/api/3.0/mlflow/registered-models/set-tag", ROUTE),
    "a slash at the end": ("POST", f"{MLFLOW}/registered-models/set-tag/", ROUTE),
    "JSON in a JSON text": ("POST", f"{MLFLOW}/registered-models/set-tag", json.dumps(ROUTE)),
    "UTF-16": ("POST", f"{MLFLOW}/registered-models/set-tag", json.dumps(ROUTE).encode("utf-16")),
    "escaped letters": ("POST", f"{MLFLOW}/registered-models/set-tag", b'{"name":"fraud","k\\u0065y":"stag\\u0065door.route"}'),
    "the key twice": ("POST", f"{MLFLOW}/registered-models/set-tag", b'{"name":"f","key":"note","key":"stagedoor.route"}'),
    "capitals": ("POST", f"{MLFLOW}/registered-models/set-tag", ROUTE | {"key": "Stagedoor.Route"}),
    "a space at the end": ("POST", f"{MLFLOW}/registered-models/set-tag", ROUTE | {"key": "stagedoor.route "}),
    "a value that is none": ("POST", f"{MLFLOW}/registered-models/create", {"name": "f", "tags": [{**ROUTE, "value": 5}]}),
    "a way not known yet": ("POST", f"{MLFLOW}/registered-models/set-tags", {"changes": {"stagedoor.route": "{}"}}),
    "another way not known yet": ("PUT", f"{MLFLOW}/model-versions/patch", [{"to": "stagedoor.approved"}]),
}


@pytest.mark.parametrize("case", DISGUISES)
def test_no_disguise_gets_a_finding_past_the_guard(house: Any, case: str) -> None:
    method, path, body = DISGUISES[case]
    if isinstance(body, list):
        body = {"all": body}
    assert send(house, "promoter", method, path, body).status_code == 403
    assert house.stub.seen == []


@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
def test_a_method_in_small_letters_and_a_root_path_change_nothing(house: Any, root: str) -> None:
    def told(role: str, path: str, body: Any) -> int:
        headers = [(b"authorization", house.bearer(role)["Authorization"].encode())]
        scope = {"type": "http", "method": "post", "path": f"{root}{MLFLOW}/{path}", "root_path": root, "headers": headers}
        return int(house.first_message(**scope, body=json.dumps(body).encode())["status"])

    assert told("promoter", "registered-models/set-tag", ROUTE) == 403
    assert house.stub.seen == []
    assert told("promoter", "registered-models/alias", ALIAS) == 200
    assert author_written(house)[0] == "stagedoor.by.champion"


DEMANDS = [
    ("set-tag", "required", 200),
    ("set-tag", " Required", 200),
    ("set-tag", "no", 403),
    ("set-tag", None, 403),
    ("delete-tag", "required", 403),
]


@pytest.mark.parametrize(("way", "value", "status"), DEMANDS)
def test_promoters_may_demand_a_second_person_and_not_do_without_again(house: Any, way: str, value: str, status: int) -> None:
    method, path, body = tagging("registered-models", "stagedoor.approval", way=way)
    assert send(house, "promoter", method, path, body | {"value": value}).status_code == status


# --- who moved what ---


def author_written(house: Any) -> tuple[str, Author | None]:
    """The tag that the guard wrote for the last move."""
    (tag,) = [json.loads(entry["body"]) for entry in house.stub.seen if b"stagedoor.by." in entry["body"]]
    assert tag["name"] == "fraud"
    return tag["key"], Author.read(tag["value"])


ALIAS = {"name": "fraud", "alias": "champion", "version": "8"}
STAGE = {"name": "fraud", "stage": "production", "version": "8", "archive_existing_versions": True}
MOVES: dict[str, tuple[str, str, Any, str, str | None]] = {
    "an alias": ("POST", "registered-models/alias", ALIAS, "champion", "8"),
    "an alias to a version written oddly": ("POST", "registered-models/alias", ALIAS | {"version": " 08"}, "champion", "8"),
    "an alias from the double-encoded": ("POST", "registered-models/alias", json.dumps(ALIAS), "champion", "8"),
    "no alias any more": ("DELETE", "registered-models/alias", {"name": "fraud", "alias": "champion"}, "champion", None),
    "a stage": ("POST", "model-versions/transition-stage", STAGE, "Production", "8"),
}


@pytest.mark.parametrize("case", MOVES)
@pytest.mark.parametrize("api", ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow"])
def test_whoever_moves_something_is_written_down_where_it_is_read(house: Any, case: str, api: str) -> None:
    method, path, body, name, version = MOVES[case]
    before = datetime.now(UTC)
    assert send(house, "promoter", method, f"{api}/{path}", body).json() == {"ok": True}
    key, author = author_written(house)
    assert key == f"stagedoor.by.{name}"
    assert author is not None
    assert (author.subject, author.version) == ("the-promoter", version)
    assert abs((author.at - before).total_seconds()) < 60
    assert house.nudger.count == 1


def test_the_tag_is_written_within_this_process_and_without_credentials(house: Any) -> None:
    send(house, "promoter", "POST", f"{MLFLOW}/registered-models/alias", ALIAS, Cookie="a=1", Origin="http://testserver")
    (signature,) = house.stub.signatures
    assert set(signature["headers"]) == {"host", "content-type", "content-length"}
    assert house.stub.seen[0] is signature  # whoever sees the move sees its author too


def test_under_a_static_prefix_the_author_is_written_too(prefixed_house: Any) -> None:
    send(prefixed_house, "promoter", "POST", f"/mlflow{MLFLOW}/registered-models/alias", ALIAS)
    assert author_written(prefixed_house)[0] == "stagedoor.by.champion"


@pytest.mark.parametrize(
    ("alias", "traffic", "kept"), [("champion", "", True), ("blue", "champion=90, blue=10", True), ("build-7", "", False)]
)
def test_of_a_removed_alias_that_nobody_serves_nothing_is_left(house: Any, alias: str, traffic: str, kept: bool) -> None:  # noqa: FBT001
    house.stub.tags["stagedoor.traffic"] = traffic
    send(house, "promoter", "DELETE", f"{MLFLOW}/registered-models/alias", {"name": "fraud", "alias": alias})
    (signature,) = house.stub.signatures
    assert signature["path"].endswith("set-tag" if kept else "delete-tag")
    assert json.loads(signature["body"])["key"] == f"stagedoor.by.{alias}"


@pytest.mark.parametrize("before", [None, "alice\t7\t2026-01-02T03:04:05.000+00:00"])
def test_a_move_that_mlflow_refuses_leaves_the_author_of_before(house: Any, before: str | None) -> None:
    house.stub.status = 404
    if before is not None:
        house.stub.tags["stagedoor.by.champion"] = before
    assert send(house, "promoter", "POST", f"{MLFLOW}/registered-models/alias", ALIAS).status_code == 404
    last = house.stub.signatures[-1]
    assert last["path"].endswith("delete-tag" if before is None else "set-tag")
    assert json.loads(last["body"]).get("value") == before


def test_an_admin_may_speak_for_another_whom_log_and_tag_then_name(house: Any) -> None:
    headers = {"X-Stagedoor-On-Behalf-Of": quote("zo\u00eb & co")}
    with structlog.testing.capture_logs() as lines:
        send(house, "admin", "POST", f"{MLFLOW}/registered-models/alias", ALIAS, **headers)
    assert author_written(house)[1].subject == "zo\u00eb & co"  # type: ignore[union-attr]
    line = next(entry for entry in lines if entry["event"] == "registry_write")
    assert (line["subject"], line["on_behalf_of"]) == ("the-admin", "zo\u00eb & co")


@pytest.mark.parametrize(
    ("role", "said", "status"),
    [("promoter", "alice", 403), ("admin", "", 400), ("admin", "a%09b", 400), ("admin", "a" * 257, 400)],
)
def test_nobody_else_does_and_not_for_nobody(house: Any, role: str, said: str, status: int) -> None:
    answer = send(house, role, "POST", f"{MLFLOW}/registered-models/alias", ALIAS, **{"X-Stagedoor-On-Behalf-Of": said})
    assert answer.status_code == status
    assert house.stub.seen == []


@pytest.mark.parametrize("expected", ["eight", "08", "-1", "8, 9"])
def test_a_condition_that_makes_no_sense_is_refused(house: Any, expected: str) -> None:
    headers = {"X-Stagedoor-Expected-Version": expected}
    answer = send(house, "promoter", "POST", f"{MLFLOW}/registered-models/alias", ALIAS, **headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "header_malformed")
    assert house.stub.seen == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "model-versions/transition-stage", STAGE),
        ("POST", "registered-models/set-tag", {"name": "fraud", "key": "note", "value": "x"}),
        ("POST", "registered-models/alias", {"name": "fraud"}),
        ("DELETE", "registered-models/delete", {"name": "fraud"}),
    ],
)
def test_a_condition_that_nobody_would_check_is_refused(house: Any, method: str, path: str, body: Any) -> None:
    answer = send(house, "promoter", method, f"{MLFLOW}/{path}", body, **{"X-Stagedoor-Expected-Version": "7"})
    assert answer.status_code == 400
    assert house.stub.seen == []


def test_the_author_of_an_earlier_move_is_not_that_of_this_one() -> None:
    wrote = str(Author("alice", "7", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))
    assert wrote == "alice\t7\t2026-01-02T03:04:05.000+00:00"
    for aliases, found in (({"champion": "7"}, "alice"), ({"champion": "8"}, None), ({}, None)):
        author = author_of(RegisteredModel("fraud", aliases, tags={"stagedoor.by.champion": wrote}), "champion")
        assert (author.subject if author else None) == found


@pytest.mark.parametrize(
    "text", ["", "alice", "alice\t7", "alice\t7\tsoon", "alice\t7\t2026-01-02", "\t7\t2026-01-02T00:00:00Z", "a\tb\tc\td"]
)
def test_a_tag_that_is_none_of_the_guards_names_nobody(text: str) -> None:
    assert Author.read(text) is None
