"""What the gateway tells of itself and of the routes that a controller issued."""

from dataclasses import replace
from typing import Any

from serving.gateway import schemas
from serving.snapshot_file import replace_file, write_snapshot
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Drill, Rolling, Route

ROUTE = Route(
    12,
    (Arm("champion", "2", 9000), Arm("candidate", "3", 1000)),
    b"salt",
    reason="Version 3 gets 10 %.",
    by="alice",
    issued=True,
    watched=True,
    slow_seconds=0.05,
    warm=("1",),
    shield=True,
    mirror="4",
    rolling=Rolling("3", ("a", "b")),
    drill=Drill("nan", 0.5, "secret-cohort", 2e9),
)
ENTRY = ModelEntry("fraud", {"champion": "2"}, route=ROUTE, versions={"2": VersionEntry("2", "ready", "d" * 64)})


def status_of(gateway: Any, entry: ModelEntry, **token: Any) -> Any:
    write_snapshot(gateway.paths.snapshot, Snapshot(9, {entry.name: entry}))
    return gateway.client.get("/status", headers=gateway.token("viewer", **token))


def test_the_status_shows_all_of_an_issued_route_but_the_drills_cohort(gateway: Any) -> None:
    answer = status_of(gateway, ENTRY)
    assert schemas.Status().validate(answer.json) == {}
    route = answer.json["models"][0]["route"]
    assert route == {
        "epoch": 12,
        "reason": "Version 3 gets 10 %.",
        "sticky": None,
        "arms": [{"name": "champion", "version": "2", "weight": 9000}, {"name": "candidate", "version": "3", "weight": 1000}],
        "issued": True,
        "watched": True,
        "slow_seconds": 0.05,
        "warm": ["1"],
        "shield": True,
        "mirror": "4",
        "rolling": {"version": "3", "nodes": ["a", "b"]},
        "drill": {"fault": "nan", "rate": 0.5, "until": 2e9},
    }
    assert b"secret-cohort" not in answer.data
    assert ROUTE.salt.hex().encode() not in answer.data


def test_a_derived_route_says_that_nobody_issued_it(gateway: Any) -> None:
    derived = Route(3, (Arm("champion", "2", 10_000),), b"salt")
    route = status_of(gateway, replace(ENTRY, route=derived)).json["models"][0]["route"]
    assert (route["issued"], route["watched"], route["rolling"], route["drill"]) == (False, False, None, None)


def test_the_status_names_the_machine_and_what_it_follows(make: Any) -> None:
    gateway = make(node_name="north-1", follow="route")
    body = gateway.client.get("/status", headers=gateway.token("viewer")).json
    assert (body["node"], body["follow"]) == ("north-1", "route")


def test_epochs_of_models_that_the_viewer_may_not_see_are_not_told(gateway: Any) -> None:
    report = {"pid": 1, "updated_at": 9e12, "models": {"fraud": {}, "payroll": {}}, "routes": {"fraud": 12, "payroll": 3}}
    replace_file(gateway.paths.workers / "1.json", repr(report).replace("'", '"').encode())
    (worker,) = status_of(gateway, ENTRY, models=("fraud",)).json["workers"]
    assert (worker["routes"], worker["models"]) == ({"fraud": 12}, {"fraud": {}})


def test_the_gateway_says_where_its_controller_is(make: Any) -> None:
    body = make(controller_url="http://127.0.0.1:8100").client.get("/stagedoor").json
    assert (body["role"], body["controller"]) == ("gateway", "http://127.0.0.1:8100")


def test_a_gateway_alone_knows_no_controller(gateway: Any) -> None:
    assert gateway.client.get("/stagedoor").json["controller"] is None
