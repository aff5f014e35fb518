"""Rollouts while things die, freeze, lie and refuse to be written."""

import base64
import hashlib
import hmac
import json
import signal
import sqlite3
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
import requests

from stagedoor.local import specs

from . import models
from .system import CANARY, JUDGED, STALE_AFTER_SECONDS, System, Up, until
from .traffic import Traffic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LONG = f"canary steps=50 interval=6s outcomes=20 {JUDGED}"
"""Long enough to be disturbed."""
SETTLE_SECONDS = 2.0
FAULTS = ("error", "latency", "nan")
DRILLED = tuple(f"drilled-{fault}" for fault in FAULTS)
GOOD = ("killed", "orphaned", "frozen", "unwritten", "deceived", *DRILLED)
CONTROLLER, MLFLOW = "registry_hooks", "mlflow"


@pytest.fixture(scope="module", autouse=True)
def _live(system: System) -> None:
    system.with_live(*GOOD, "unwritten-harm", files=models.GOOD)
    for name in GOOD:
        system.register(name, models.GOOD)
    system.register("unwritten-harm", models.HARMFUL)


def test_a_controller_killed_in_the_middle_of_a_canary_ends_as_one_that_lives(system: System, up: Up) -> None:
    with system.traffic("killed") as traffic:
        system.order("killed", "promote", version="2", strategy=LONG)
        system.reaches("killed", "canary")
        up.signal(signal.SIGKILL, CONTROLLER)
        system.ends("killed", "2", "promoted")
        system.goes_live("killed", "2")
    assert "controller ended unasked" in up.log.read_text()
    assert system.kinds("killed")[-3:] == ["started", "traffic_started", "promoted"]
    entries = system.history("killed")["entries"]
    epochs = [entry["epoch"] for entry in reversed(entries)]
    assert epochs == sorted(epochs)
    assert traffic.statuses == {200}
    assert traffic.epochs_go_back() == []
    assert system.stagedoor("ledger", "verify").returncode == 0


def test_mlflow_killed_in_the_middle_of_a_canary_costs_no_answer(system: System, up: Up) -> None:
    with system.traffic("orphaned") as traffic:
        system.order("orphaned", "promote", version="2", strategy=LONG)
        system.reaches("orphaned", "canary")
        up.signal(signal.SIGKILL, MLFLOW, "server")
        system.ends("orphaned", "2", "promoted", 240)
        system.goes_live("orphaned", "2")
    assert "mlflow ended unasked" in up.log.read_text()
    assert traffic.statuses == {200}
    assert traffic.epochs_go_back() == []


def test_while_mlflow_is_frozen_the_candidate_gets_nothing_and_status_says_what_waits(system: System, up: Up) -> None:
    with system.traffic("frozen") as traffic:
        system.order("frozen", "promote", version="2", strategy=LONG)
        system.reaches("frozen", "canary")
        until(lambda: any(answer.arm == "candidate" for answer in traffic.answers), "the candidate gets requests")
        up.signal(signal.SIGSTOP, MLFLOW)
        try:
            until(lambda: _only_champion(traffic), "the candidate gets nothing", STALE_AFTER_SECONDS + 60)
            frozen = time.time()
            time.sleep(SETTLE_SECONDS)
            assert {answer.version for answer in traffic.since(frozen)} == {"1"}
            until(lambda: _missing(system), "the controller says what it misses")
            told = system.stagedoor("status", "frozen", "--json")
            assert any("registry" in what for what in json.loads(told.stdout)["missing"]), told.stdout
        finally:
            up.signal(signal.SIGCONT, MLFLOW)
        system.ends("frozen", "2", "promoted")
        system.goes_live("frozen", "2")
    assert traffic.statuses == {200}
    assert traffic.epochs_go_back() == []


def test_without_a_ledger_nothing_is_promoted_and_harm_is_still_rolled_back(system: System) -> None:
    system.order("unwritten", "promote", version="2", strategy=f"canary steps=50 interval=3s outcomes=20 {JUDGED}")
    system.order("unwritten-harm", "promote", version="2", strategy=f"canary steps=50 interval=1h {JUDGED}")
    system.reaches("unwritten", "canary")
    system.reaches("unwritten-harm", "canary")
    ledger = system.paths.ledger
    with ExitStack() as stack:
        with closing(sqlite3.connect(ledger, timeout=20, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")  # from now on nobody writes
            good = stack.enter_context(system.traffic("unwritten"))
            harmful = stack.enter_context(system.traffic("unwritten-harm"))
            until(lambda: system.champion("unwritten-harm") == "1", "the alias is back")
            until(lambda: system.serves("unwritten-harm", "1"), "the harmful version is out of traffic")
            until(lambda: "ledger" in str(system.account("unwritten").get("problems")), "the other waits for the ledger")
            assert system.account("unwritten")["stable"] == "1"
            assert "rolled_back" not in system.kinds("unwritten-harm")
            database.execute("ROLLBACK")
        system.ends("unwritten", "2", "promoted")
        until(lambda: system.account("unwritten-harm").get("phase") == "idle", lambda: str(system.account("unwritten-harm")))
        system.goes_live("unwritten-harm", "1")
    assert system.champion("unwritten-harm") == "1"
    assert good.statuses == harmful.statuses == {200}
    assert {"adopted", "rolled_back"} & set(system.kinds("unwritten-harm"))
    assert system.stagedoor("ledger", "verify").returncode == 0


def test_webhooks_that_are_lost_forged_or_replayed_change_nothing_in_the_end(system: System) -> None:
    lie = {
        "entity": "model_version_alias",
        "action": "created",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {"name": "deceived", "alias": "champion", "version": "2"},
    }
    body = json.dumps(lie).encode()
    before = system.account("deceived")
    forged = [
        {},
        _signed(body, b"another secret"),
        {**_signed(body, _secret(system)), "X-MLflow-Delivery-Id": "another"},
        _signed(body, _secret(system), age=3600),
    ]
    assert [_deliver(system, body, headers) for headers in forged] == [401] * 4
    true = _signed(body, _secret(system))
    assert [_deliver(system, body, true) for _ in range(3)] == [202] * 3
    time.sleep(SETTLE_SECONDS)
    after = system.account("deceived")
    assert (after["stable"], after["epoch"], after["phase"]) == ("1", before["epoch"], "idle")
    with system.traffic("deceived") as traffic:
        system.tag("deceived", "stagedoor.rollout", CANARY)
        system.point("deceived", "2")
        gone = body.replace(b'"2"', b'"99"')
        for _ in range(5):
            assert _deliver(system, gone, _signed(gone, _secret(system))) == 202
        system.ends("deceived", "2", "promoted")
        system.goes_live("deceived", "2")
    assert traffic.statuses == {200}


def _only_champion(traffic: Traffic) -> bool:
    """Of so many requests in two seconds, at one half each, that chance is no reason."""
    recent = traffic.since(time.time() - 2)
    return len(recent) >= 20 and {answer.arm for answer in recent} == {"champion"}


def _missing(system: System) -> list[str]:
    return list(requests.get(f"{system.controller}/readyz", timeout=30).json()["missing"])


def _secret(system: System) -> bytes:
    return specs.webhook_secret(system.paths).encode()


def _signed(body: bytes, secret: bytes, age: int = 0) -> dict[str, str]:
    """The headers of MLflow for this body."""
    delivery, moment = str(uuid.uuid4()), str(int(time.time()) - age)
    signature = hmac.digest(secret, f"{delivery}.{moment}.".encode() + body, hashlib.sha256)
    return {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": moment,
        "X-MLflow-Signature": "v1," + base64.b64encode(signature).decode(),
    }


def _deliver(system: System, body: bytes, headers: dict[str, str]) -> int:
    kind = {"Content-Type": "application/json"}
    return requests.post(f"{system.controller}/webhooks/mlflow", data=body, headers=headers | kind, timeout=30).status_code


def test_drills_are_found_and_no_real_caller_is_touched(system: System, tmp_path_factory: pytest.TempPathFactory) -> None:
    body = tmp_path_factory.mktemp("drill") / "body.json"
    body.write_text(json.dumps({"inputs": {"x": [[4.0]]}}))
    for name in DRILLED:
        system.tag(name, "stagedoor.rollout", "canary")

    def drill(fault: str) -> tuple[int, str]:
        options = ("--fault", fault, "--rate", "0.5", "--seconds", "90", "--requests-per-second", "30", "--body", str(body))
        done = system.stagedoor("drill", f"drilled-{fault}", *options, "--json")
        return done.returncode, done.stdout + ("" if done.returncode == 0 else done.stderr)

    with ExitStack() as stack:
        callers = [stack.enter_context(system.traffic(name, 10.0)) for name in DRILLED]
        with ThreadPoolExecutor(len(FAULTS)) as pool:
            ended = dict(zip(FAULTS, pool.map(drill, FAULTS), strict=True))
        for name in DRILLED:
            system.reaches(name, "idle")
    for fault, (code, told) in ended.items():
        assert code == 0, (fault, told)
        report = json.loads(told)
        assert report["found"], (fault, report)
        assert report["errors"] == 0, (fault, report)
        assert "drill_ended" in system.kinds(f"drilled-{fault}")
    for caller in callers:
        assert caller.statuses == {200}
        assert caller.versions == {"1"}
        assert {answer.shielded for answer in caller.answers} == {""}
    refused = system.ask("POST", "/v1/models/drilled-nan/drill", json={"fault": "nan", "rate": 0.5, "seconds": 5})
    assert refused.status_code == 403
