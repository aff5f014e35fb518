"""Callers never pay for a candidate: the stable version answers where it fails, and the candidate is charged."""

import asyncio
import json
from typing import Any

import pytest

from serving.exchange import Head
from serving.lane.asgi import Lane
from serving.lane.turn import Inbox
from stagedoor import names

from .conftest import (
    TIMEOUT,
    Hang,
    Stage,
    exits,
    headers_of,
    not_finite,
    on_trial,
    raises,
    times_out_itself,
    twice,
    until,
    unwritable,
    version,
)

FAILURES = [
    ("it raises", raises, "model_error"),
    ("it raises what looks like our own timeout", times_out_itself, "model_error"),
    ("it asks the process to end", exits, "model_error"),
    ("it answers NaN", not_finite, "invalid_output"),
    ("it answers what no protocol can say", unwritable, "invalid_output"),
]


@pytest.mark.parametrize("quick", [True, False], ids=["inline", "threaded"])
@pytest.mark.parametrize(("behaviour", "outcome"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
def test_where_a_candidate_fails_the_stable_version_answers(stage: Stage, behaviour: Any, outcome: str, *, quick: bool) -> None:
    stage.set(on_trial(), version("1", twice, quick=quick), version("2", behaviour, quick=quick))
    reply = stage.ask()
    assert (reply.status, json.loads(reply.body)) == (200, {"predictions": [[2.0]]})
    told = headers_of(reply)
    assert (told[names.HEADER_MODEL_VERSION], told[names.HEADER_MODEL_ARM]) == ("1", "champion")
    assert (told[names.HEADER_SHIELDED_FROM], told[names.HEADER_ROUTE_EPOCH]) == ("2", "7")
    assert stage.outcomes(version="2", epoch="7") == {outcome: 1}
    assert stage.outcomes(epoch="7") == {outcome: 1}, "the answer in its place is no evidence"
    assert stage.outcomes(version="1", epoch="") == {"ok": 1}
    assert (stage.assigned(version="2", epoch="7"), stage.assigned(epoch="7")) == (1, 1)
    assert stage.count(names.METRIC_SHIELDED, version="2", outcome=outcome) == 1
    (line,) = stage.lines()
    shown = {"version": "1", "arm": "champion", "status": 200, "shielded_from": "2", "shielded_outcome": outcome, "epoch": 7}
    assert shown.items() <= line.items()
    assert line["bucket"] < 9_999


def test_a_candidate_that_hangs_gets_half_of_the_time(stage: Stage, hang: Hang) -> None:
    stage.set(on_trial(slow_seconds=9.0), version("1", twice, quick=False), version("2", hang, quick=False))
    reply = stage.ask()
    assert (reply.status, headers_of(reply)[names.HEADER_SHIELDED_FROM]) == (200, "2")
    assert stage.outcomes(version="2") == {"timeout": 1}
    assert stage.count(names.METRIC_SLOW, version="2", epoch="7") == 1
    assert TIMEOUT / 2 * 1000 <= stage.lines()[0]["ms"] < TIMEOUT * 1000
    hang.let_go.set()
    assert until(lambda: hang.running == 0)
    assert stage.outcomes(version="2") == {"timeout": 1}, "what comes too late is not counted again"


def test_candidates_that_hang_leave_the_stable_version_its_threads(stage: Stage, hang: Hang) -> None:
    stage.set(on_trial(weight=5_000), version("1", twice, quick=False), version("2", hang, quick=False))
    replies = asyncio.run(_at_once(stage, 40))
    assert {reply.status for reply in replies} == {200}
    counted = stage.outcomes(version="2", epoch="7")
    assert counted["timeout"] == stage.settings.threads
    assert counted["overload"] >= 1
    assert stage.assigned(version="2", epoch="7") == sum(counted.values())


async def _at_once(stage: Stage, number: int) -> list[Any]:
    return await asyncio.gather(*(asyncio.to_thread(stage.ask) for _ in range(number)))


def test_a_candidate_that_is_not_in_memory_is_not_waited_for(stage: Stage) -> None:
    stage.set(on_trial(), version("1", twice))
    reply = stage.ask()
    assert (reply.status, headers_of(reply).get(names.HEADER_SHIELDED_FROM)) == (200, "2"), reply.body
    assert stage.outcomes(version="2", epoch="7") == {"overload": 1}
    assert stage.assigned(version="2", epoch="7") == 1


def test_a_candidate_that_refuses_what_the_stable_version_takes_is_charged(stage: Stage) -> None:
    stage.set(on_trial(), version("1", twice, width=1), version("2", twice, width=2))
    reply = stage.ask()
    assert (reply.status, headers_of(reply)[names.HEADER_SHIELDED_FROM]) == (200, "2")
    assert stage.outcomes(version="2", epoch="7") == {"model_error": 1}
    assert stage.assigned(version="2", epoch="7") == 1
    assert stage.lines()[0]["shielded_code"] == "schema_mismatch"


def test_what_both_versions_refuse_is_the_callers_mistake(stage: Stage) -> None:
    stage.set(on_trial(), version("1", twice), version("2", twice))
    reply = stage.ask("no numbers")
    assert (reply.status, json.loads(reply.body)["code"]) == (422, "schema_mismatch")
    assert stage.outcomes(epoch="7") == {}
    assert stage.assigned() == 0
    assert stage.outcomes(version="1", epoch="") == {"client_error": 1}
    assert stage.count(names.METRIC_SHIELDED) == 0


def test_an_output_that_neither_version_has_is_the_callers_mistake_and_both_have_answered(stage: Stage) -> None:
    stage.set(on_trial(), version("1", twice), version("2", twice))
    tensor = {"name": "in", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "nowhere"}]}).encode()
    reply = stage.send(f"/v2/models/{stage.name}/infer", body)
    assert json.loads(reply.body)["code"] == "request_invalid"
    assert stage.outcomes(version="2", epoch="7") == {"ok": 1}
    assert stage.assigned(version="2", epoch="7") == 1


def test_where_both_fail_the_caller_gets_the_stable_versions_error(stage: Stage) -> None:
    stage.set(on_trial(), version("1", not_finite), version("2", raises))
    reply = stage.ask()
    assert json.loads(reply.body)["code"] == "invalid_output"
    assert (headers_of(reply)[names.HEADER_MODEL_VERSION], headers_of(reply)[names.HEADER_SHIELDED_FROM]) == ("1", "2")
    assert stage.outcomes(epoch="7") == {"model_error": 1}
    (line,) = stage.lines()
    assert (line["code"], line["shielded_code"]) == ("invalid_output", "model_error")
    assert line["shielded_cause"].startswith("ValueError at conftest.py")
    assert stage.count(names.METRIC_SHIELDED) == 0


def test_without_the_shield_the_caller_sees_the_failure(stage: Stage) -> None:
    stage.set(on_trial(shield=False), version("1", twice), version("2", raises))
    reply = stage.ask()
    assert (reply.status, names.HEADER_SHIELDED_FROM in headers_of(reply)) == (500, False)
    assert stage.outcomes(version="2", epoch="7") == {"model_error": 1}


def test_nobody_stands_in_for_the_stable_version(stage: Stage) -> None:
    stage.set(on_trial(weight=0), version("1", raises), version("2", twice))
    assert stage.ask().status == 500
    assert stage.outcomes(epoch="7") == {"model_error": 1}


@pytest.mark.parametrize("quick", [True, False], ids=["inline", "threaded"])
def test_the_lane_shields_as_flask_does(stage: Stage, *, quick: bool) -> None:
    stage.set(on_trial(), version("1", twice, quick=not quick), version("2", raises, quick=quick))
    reply = asyncio.run(_through_lane(stage))
    assert (reply.status, headers_of(reply)[names.HEADER_SHIELDED_FROM]) == (200, "2")
    assert stage.outcomes(version="2", epoch="7") == {"model_error": 1}


async def _through_lane(stage: Stage) -> Any:
    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"inputs":[[1.0]]}', "more_body": False}

    lane = Lane(stage.plane, None, lambda: None, lambda: None)  # type: ignore[arg-type]
    head = Head(f"/models/{stage.name}/invocations", "", {"content-type": "application/json"})
    said = await lane.reply_to(head, receive)
    assert said is not None
    return said[0]


@pytest.mark.parametrize("behaviour", [twice, raises], ids=["answers", "raises"])
def test_what_a_caller_who_hung_up_had_asked_for_is_counted(stage: Stage, hang: Hang, behaviour: Any) -> None:
    def late(inputs: Any) -> Any:
        hang(inputs)
        return behaviour(inputs)

    stage.set(on_trial(), version("1", twice, quick=False), version("2", late, quick=False))

    async def hang_up() -> None:
        asking = asyncio.create_task(_through_lane(stage))
        assert await asyncio.to_thread(until, lambda: hang.running == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        hang.let_go.set()
        assert await asyncio.to_thread(until, lambda: stage.outcomes(version="2", epoch="7") == wanted)

    wanted = {"ok": 1.0} if behaviour is twice else {"model_error": 1.0}
    asyncio.run(hang_up())
    assert stage.assigned(version="2", epoch="7") == 1


def test_a_request_whose_turn_never_came_is_nobodys_timeout(stage: Stage, hang: Hang) -> None:
    stage.set(on_trial(shield=False), version("1", twice, quick=False), version("2", hang, quick=False))
    replies = asyncio.run(_at_once(stage, stage.settings.threads + 2))
    assert sorted(reply.status for reply in replies) == [503, 503, 504, 504]
    assert stage.outcomes(version="2", epoch="7") == {"timeout": 2, "overload": 2}


def test_what_ends_after_its_loop_is_counted_where_it_ends(stage: Stage) -> None:
    loop = asyncio.new_event_loop()
    inbox = Inbox(loop)
    loop.close()
    done: list[str] = []
    inbox.put(lambda: done.append("counted"))
    assert done == ["counted"]
