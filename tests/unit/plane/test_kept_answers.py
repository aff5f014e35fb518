"""Answers that are known, through the plane: for how long, for whom, of which version, and who shares a prediction."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from serving.http import Reply
from serving.pool import LiveModel, View
from serving.values import UNNAMED, Inputs, Outputs
from stagedoor import names
from stagedoor.domain.traffic import Arm
from stagedoor.domain.tuning import Caching, Tuning

from .conftest import (
    ONLY,
    Crowd,
    Gate,
    Stage,
    adds_up,
    headers_of,
    numbers,
    on_trial,
    raises,
    twice,
    until,
    version,
    waiting,
)

KEPT = Tuning(cache=Caching(60.0, 1 << 20))
BRIEFLY = Tuning(cache=Caching(0.1, 1 << 20))


def joined(stage: Stage) -> int:
    flights = list(stage.plane._crew._kept._flights.values())  # noqa: SLF001  the same
    return sum(len(flight._waiting) for flight in flights)  # noqa: SLF001


def kept(reply: Reply) -> str | None:
    return headers_of(reply).get(names.HEADER_CACHE)


class Noted:
    """Notes how often it was asked."""

    def __init__(self, behaviour: Callable[[Inputs], Outputs] = twice) -> None:
        self._behaviour = behaviour
        self.times = 0

    def __call__(self, inputs: Inputs) -> Outputs:
        self.times += 1
        return self._behaviour(inputs)


@pytest.mark.parametrize("quick", [True, False], ids=["inline", "threaded"])
@pytest.mark.parametrize("batchable", [True, False], ids=["batched", "alone"])
def test_the_same_question_is_answered_from_what_is_kept(patient: Stage, *, quick: bool, batchable: bool) -> None:
    model = Noted()
    patient.set(ONLY, version("1", model, quick=quick, batchable=batchable), tuning=KEPT)
    replies = [patient.ask() for _ in range(3)]
    assert [kept(reply) for reply in replies] == ["miss", "hit", "hit"]
    assert len({reply.body for reply in replies}) == 1
    assert kept(patient.ask(((2.0,),))) == "miss"
    assert model.times == 2
    assert [patient.count(names.METRIC_CACHE, version="1", result=result) for result in ("miss", "hit", "joined")] == [2, 2, 0]
    assert patient.count(names.METRIC_CACHE_BYTES) > 0
    assert patient.outcomes() == {"ok": 4}
    assert patient.assigned() == 4


def test_without_the_tag_nothing_is_kept_and_nothing_is_said_of_it(patient: Stage) -> None:
    model = Noted()
    patient.set(ONLY, version("1", model))
    assert [kept(patient.ask()) for _ in range(2)] == [None, None]
    assert model.times == 2
    assert patient.count(names.METRIC_CACHE) == 0


def test_the_same_data_through_another_protocol_is_the_same_question(patient: Stage) -> None:
    model = Noted()
    patient.set(ONLY, version("1", model), tuning=KEPT)
    first = patient.ask(((1.0,), (2.0,)))
    tensor = {"name": "anything", "shape": [2, 1], "datatype": "FP64", "data": [1, 2]}
    second = patient.send(f"/v2/models/{patient.name}/infer", json.dumps({"inputs": [tensor]}).encode())
    third = patient.send(f"/models/{patient.name}/invocations", b'{"instances": [ [1.00], [2e0] ]}')
    assert [reply.status for reply in (first, second, third)] == [200, 200, 200], second.body
    assert [kept(reply) for reply in (first, second, third)] == ["miss", "hit", "hit"]
    assert json.loads(second.body)["outputs"][0]["data"] == [2.0, 4.0]
    assert model.times == 1


def test_an_answer_is_kept_for_its_time_only(patient: Stage) -> None:
    model = Noted()
    patient.set(ONLY, version("1", model), tuning=BRIEFLY)
    patient.ask()
    time.sleep(0.15)
    assert kept(patient.ask()) == "miss"
    assert model.times == 2


def test_a_promotion_never_gets_an_answer_of_the_version_before(patient: Stage) -> None:
    one, two = version("1", twice), version("2", lambda inputs: Outputs.of_array(inputs.arrays[UNNAMED] * 3.0))
    patient.set(ONLY, one, two, tuning=KEPT)
    assert numbers(patient.ask()) == [[2.0]]
    patient.set(replace(ONLY, arms=(Arm("champion", "2", 10_000),)), one, two, name=patient.name, tuning=KEPT)
    after = patient.ask()
    assert (numbers(after), kept(after)) == ([[3.0]], "miss")
    others = {"made anew under the same number": replace(one, digest="other"), "compiled": replace(one, compiled=True)}
    for why, other in others.items():
        patient.set(ONLY, other, two, name=patient.name, tuning=KEPT)
        assert kept(patient.ask()) == "miss", why


def test_callers_with_other_rights_never_share_an_answer(patient: Stage) -> None:
    patient.set(ONLY, version("1", twice), tuning=KEPT)
    asked = ["predictor", "predictor viewer", "predictor tester", "viewer predictor", "predictor"]
    assert [kept(patient.ask(authorization=roles)) for roles in asked] == ["miss", "miss", "miss", "hit", "hit"]


@pytest.mark.parametrize("weight", [9_999, 0], ids=["candidate", "stable"])
def test_nothing_is_answered_from_what_is_kept_while_a_trial_wants_evidence(patient: Stage, weight: int) -> None:
    models = {"1": Noted(), "2": Noted()}
    one, two = (version(number, model) for number, model in models.items())
    patient.set(ONLY, one, two, tuning=KEPT)
    patient.ask()
    patient.set(on_trial(weight), one, two, name=patient.name, tuning=KEPT)
    assert [kept(patient.ask()) for _ in range(3)] == [None, None, None]
    asked = "2" if weight else "1"
    assert models[asked].times == 3 + (asked == "1")
    assert patient.assigned(epoch="7", version=asked) == 3


def test_callers_of_one_question_share_one_prediction(patient: Stage, crowd: Crowd, gate: Gate) -> None:
    patient.set(ONLY, version("1", gate, quick=False), tuning=KEPT)
    asked = [crowd.ask() for _ in range(10)]
    assert until(lambda: gate.rows == [1] and joined(patient) == 9)
    gate.opened.set()
    replies = [reply.result(20) for reply in asked]
    assert [numbers(reply) for reply in replies] == [[[2.0]]] * 10
    assert sorted(str(kept(reply)) for reply in replies) == ["joined"] * 9 + ["miss"]
    assert gate.rows == [1]
    assert patient.count(names.METRIC_CACHE, result="joined") == 9
    assert patient.outcomes() == {"ok": 10}
    assert patient.assigned() == 10


def test_who_joined_a_request_that_fails_runs_alone(patient: Stage, crowd: Crowd, gate: Gate) -> None:
    def fails_once(inputs: Inputs) -> Outputs:
        first = not gate.rows
        gate(inputs)
        return raises(inputs) if first else twice(inputs)

    patient.set(ONLY, version("1", fails_once, quick=False), tuning=KEPT)
    asked = [crowd.ask() for _ in range(4)]
    assert until(lambda: gate.rows == [1] and joined(patient) == 3)
    gate.opened.set()
    replies = [reply.result(20) for reply in asked]
    assert sorted(reply.status for reply in replies) == [200, 200, 200, 500]
    assert {kept(reply) for reply in replies if reply.status == 200} == {"miss"}
    assert len(gate.rows) == 4
    assert [kept(patient.ask()), kept(patient.ask())] == ["miss", "hit"]
    assert patient.outcomes() == {"ok": 5, "model_error": 1}
    assert adds_up(patient)


def test_after_a_request_that_ran_out_of_time_the_next_one_asks_anew(
    hasty: Stage, gate: Gate, threads: ThreadPoolExecutor
) -> None:
    def hangs_once(inputs: Inputs) -> Outputs:
        return gate(inputs) if not gate.rows else twice(inputs)

    hasty.set(ONLY, version("1", hangs_once, quick=False), tuning=KEPT)
    crowd = Crowd(hasty, threads)
    asked = [crowd.ask() for _ in range(3)]
    assert [reply.result(20).status for reply in asked] == [504, 504, 504]
    assert [kept(hasty.ask()), kept(hasty.ask())] == ["miss", "hit"]
    assert hasty.outcomes() == {"timeout": 3, "ok": 2}
    assert adds_up(hasty)
    gate.opened.set()
    assert kept(hasty.ask()) == "hit"


def test_nobody_is_predicted_for_who_has_given_up_on_the_request_they_joined(
    hasty: Stage, gate: Gate, threads: ThreadPoolExecutor
) -> None:
    def fails_late(inputs: Inputs) -> Outputs:
        gate(inputs)
        raise ValueError("after all that time")

    hasty.set(ONLY, version("1", fails_late, quick=False), tuning=KEPT)
    crowd = Crowd(hasty, threads)
    asked = [crowd.ask() for _ in range(3)]
    assert {reply.result(20).status for reply in asked} == {504}
    gate.opened.set()
    assert until(lambda: hasty.ask(((5.0,),)).status == 500)
    assert len(gate.rows) == 2, "the one that led, and the one that asked last"
    assert hasty.outcomes()["timeout"] == 3


def test_who_joined_a_request_whose_turn_never_came_has_found_no_room_either(
    hasty: Stage, gate: Gate, threads: ThreadPoolExecutor
) -> None:
    hasty.set(ONLY, version("1", gate, quick=False), tuning=KEPT)
    crowd = Crowd(hasty, threads)
    busy = [crowd.ask(((float(n),),)) for n in range(2)]
    assert until(lambda: gate.rows == [1, 1])
    leads = crowd.ask(((9.0,),))
    time.sleep(0.1)
    joins = crowd.ask(((9.0,),))
    assert [reply.result(20).status for reply in (*busy, leads, joins)] == [504, 504, 503, 503]
    assert hasty.outcomes() == {"timeout": 2, "overload": 2}
    assert adds_up(hasty)


def test_large_bodies_of_one_question_that_run_twice_do_not_claim_to_have_joined(
    patient: Stage, crowd: Crowd, gate: Gate
) -> None:
    patient.set(ONLY, version("1", gate, quick=False), tuning=KEPT)
    data = [[0.123456789012]] * 6000
    asked = [crowd.ask(data) for _ in range(2)]
    assert until(lambda: gate.rows == [6000, 6000])
    gate.opened.set()
    assert {kept(reply.result(20)) for reply in asked} == {"miss"}
    assert kept(patient.ask(data)) == "hit"


def test_an_answer_that_is_known_is_given_however_long_the_queue_is(patient: Stage, crowd: Crowd, gate: Gate) -> None:
    one, tuning = version("1", gate, quick=False, batchable=True), replace(KEPT, batch=4096)
    patient.set(ONLY, one, tuning=tuning)
    gate.opened.set()
    patient.ask()
    gate.opened.clear()
    asked = [crowd.ask(((2.0,),))]
    assert until(lambda: gate.rows == [1, 1])
    asked.append(crowd.ask([[1.0]] * 4096))
    assert until(lambda: waiting(patient, one, tuning) == 4096)
    assert (patient.ask(((3.0,),)).status, kept(patient.ask())) == (503, "hit")
    gate.opened.set()
    assert {reply.result(20).status for reply in asked} == {200}
    assert adds_up(patient)


def test_what_has_lost_its_tag_is_let_go_and_shown_so(patient: Stage) -> None:
    one = version("1", twice)
    patient.set(ONLY, one, tuning=KEPT)
    patient.ask()
    left = patient.name
    assert patient.count(names.METRIC_CACHE_BYTES) > 0
    patient.set(ONLY, one)
    plain = patient.view.models[patient.name]
    patient.view = View(4, {left: LiveModel(plain.entry, {}), patient.name: plain})
    patient.ask()
    patient.name = left
    assert patient.count(names.METRIC_CACHE_BYTES) == 0
