"""Who runs what, through the plane: callers' rows together where that is right, and every request counted once."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving.exchange import Head
from serving.lane.asgi import Lane
from serving.loading.loaders import LoadOptions
from serving.loading.version import load_version
from serving.values import Inputs, Outputs
from stagedoor import names
from stagedoor.domain.tuning import PLAIN, Caching, Tuning

from .conftest import (
    ONLY,
    POISON,
    Behaving,
    Crowd,
    Gate,
    Stage,
    adds_up,
    headers_of,
    numbers,
    on_trial,
    twice,
    until,
    version,
    waiting,
)

AT_MOST_16, AT_MOST_4 = Tuning(batch=16, batch_declared=True), Tuning(batch=4, batch_declared=True)
KEPT = Tuning(cache=Caching(60.0, 1 << 20))


TOGETHER = [
    pytest.param({"batchable": True, "rows_apart": True}, PLAIN, id="its file leaves the rows free"),
    pytest.param({"rows_apart": True}, AT_MOST_16, id="its tag declares it"),
]


@pytest.mark.parametrize(("says", "tuning"), TOGETHER)
def test_callers_who_came_meanwhile_go_together_and_each_gets_their_own(
    patient: Stage, crowd: Crowd, gate: Gate, says: dict[str, bool], tuning: Tuning
) -> None:
    one = version("1", gate, quick=False, **says)
    patient.set(ONLY, one, tuning=tuning)
    asked = [crowd.ask(((0.0,),))]
    assert until(lambda: gate.rows == [1])
    asked += [crowd.ask(((float(n),),)) for n in range(1, 12)]
    assert until(lambda: waiting(patient, one, tuning) == 11)
    gate.opened.set()
    assert [numbers(reply.result(20)) for reply in asked] == [[[2.0 * n]] for n in range(12)]
    assert gate.rows == [1, 11]
    assert patient.outcomes() == {"ok": 12}
    assert patient.assigned() == 12


def test_a_batch_has_no_more_rows_than_the_tag_says(patient: Stage, crowd: Crowd, gate: Gate) -> None:
    one, tuning = version("1", gate, quick=False, rows_apart=True), AT_MOST_4
    patient.set(ONLY, one, tuning=tuning)
    asked = [crowd.ask()]
    assert until(lambda: gate.rows == [1])
    asked += [crowd.ask() for _ in range(8)]
    assert until(lambda: waiting(patient, one, tuning) == 8)
    gate.opened.set()
    assert {reply.result(20).status for reply in asked} == {200}
    assert gate.rows == [1, 4, 4]


ALONE = [
    pytest.param({"batchable": True, "rows_apart": True}, Tuning(batch=0), id="its tag is off"),
    pytest.param({"batchable": True, "rows_apart": True}, Tuning(batch=1, batch_declared=True), id="one row at most"),
    pytest.param({"rows_apart": True}, PLAIN, id="nobody declares it"),
    pytest.param({}, AT_MOST_16, id="the trial has not shown that rows are apart"),
]


@pytest.mark.parametrize(("says", "tuning"), ALONE)
def test_each_runs_alone(patient: Stage, crowd: Crowd, gate: Gate, says: dict[str, bool], tuning: Tuning) -> None:
    patient.set(ONLY, version("1", gate, quick=False, **says), tuning=tuning)
    asked = [crowd.ask() for _ in range(6)]
    assert until(lambda: len(gate.rows) == 2), "as many at once as there are threads"
    gate.opened.set()
    assert {reply.result(20).status for reply in asked} == {200}
    assert gate.rows == [1] * 6


def test_a_poison_row_fails_alone(patient: Stage, crowd: Crowd, gate: Gate) -> None:
    one = version("1", gate, quick=False, batchable=True)
    patient.set(ONLY, one)
    asked = [crowd.ask()]
    assert until(lambda: gate.rows == [1])
    asked += [crowd.ask(((POISON,),) if n == 3 else ((float(n),),)) for n in range(8)]
    assert until(lambda: waiting(patient, one, PLAIN) == 8)
    gate.opened.set()
    replies = [reply.result(20) for reply in asked]
    assert [reply.status for reply in replies] == [200, 200, 200, 200, 500, 200, 200, 200, 200]
    assert json.loads(replies[4].body)["code"] == "model_error"
    assert [numbers(reply) for reply in replies if reply.status == 200][1:] == [[[2.0 * n]] for n in range(8) if n != 3]
    assert gate.rows[1] == 8
    assert patient.outcomes() == {"ok": 8, "model_error": 1}
    assert adds_up(patient)


def test_who_loses_patience_in_the_queue_has_found_no_room_and_is_never_predicted_for(
    hasty: Stage, gate: Gate, threads: ThreadPoolExecutor
) -> None:
    crowd = Crowd(hasty, threads)
    one = version("1", gate, quick=False, batchable=True)
    hasty.set(ONLY, one)
    asked = [crowd.ask()]
    assert until(lambda: gate.rows == [1])
    asked += [crowd.ask() for _ in range(3)]
    assert [reply.result(20).status for reply in asked] == [504, 503, 503, 503]
    gate.opened.set()
    assert until(lambda: hasty.ask().status == 200)
    assert set(gate.rows) == {1}
    assert hasty.outcomes()["timeout"] == 1
    assert hasty.outcomes()["overload"] >= 3
    assert adds_up(hasty)


@pytest.mark.parametrize("tuning", [PLAIN, KEPT], ids=["plain", "cached"])
def test_what_a_caller_who_hung_up_in_the_queue_had_asked_for_is_counted(patient: Stage, gate: Gate, tuning: Tuning) -> None:
    one = version("1", gate, quick=False, batchable=True)
    patient.set(ONLY, one, tuning=tuning)

    async def hang_up() -> None:
        lane = Lane(patient.plane, None, lambda: None, lambda: None)  # type: ignore[arg-type]
        first, second = (asyncio.create_task(through(lane, patient, number)) for number in (1.0, 2.0))
        assert await asyncio.to_thread(until, lambda: gate.rows == [1] and waiting(patient, one, tuning) == 1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.opened.set()
        assert (await first)[0].status == 200
        assert await asyncio.to_thread(until, lambda: patient.outcomes() == {"ok": 2})

    asyncio.run(hang_up())
    assert patient.assigned() == 2


async def through(lane: Lane, stage: Stage, number: float) -> Any:
    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps({"inputs": [[number]]}).encode(), "more_body": False}

    return await lane.reply_to(Head(f"/models/{stage.name}/invocations", "", {"content-type": "application/json"}), receive)


def test_a_queue_that_is_full_answers_at_once(patient: Stage, crowd: Crowd, gate: Gate) -> None:
    one = version("1", gate, quick=False, batchable=True)
    patient.set(ONLY, one)
    asked = [crowd.ask()]
    assert until(lambda: gate.rows == [1])
    asked += [crowd.ask([[1.0]] * 1000) for _ in range(4)]
    assert until(lambda: waiting(patient, one, PLAIN) == 4000)
    refused = patient.ask([[1.0]] * 1000)
    assert (refused.status, headers_of(refused)["Retry-After"]) == (503, "1")
    gate.opened.set()
    assert {reply.result(20).status for reply in asked} == {200}
    assert patient.outcomes() == {"ok": 5, "overload": 1}
    assert adds_up(patient)


def test_of_a_version_that_has_not_answered_yet_nobody_knows_that_it_would_be_too_late(
    tmp_path: Path, gate: Gate, threads: ThreadPoolExecutor
) -> None:
    stage = Stage(tmp_path, predict_timeout_seconds=20.0)
    crowd, one = Crowd(stage, threads), version("1", gate, quick=False, batchable=True)
    stage.set(ONLY, one)
    asked = [crowd.ask()]
    assert until(lambda: gate.rows == [1])
    time.sleep(5 * stage.settings.model_queue_milliseconds / 1000)
    asked += [crowd.ask() for _ in range(3)]
    assert until(lambda: waiting(stage, one, PLAIN) == 3)
    gate.opened.set()
    assert {reply.result(20).status for reply in asked} == {200}
    stage.plane.close()


def test_rows_of_a_version_on_trial_go_together_in_threads_of_their_own(patient: Stage, crowd: Crowd, gate: Gate) -> None:
    patient.set(on_trial(), version("1", twice, batchable=True), version("2", gate, quick=False, batchable=True))
    asked = [crowd.ask()]
    assert until(lambda: gate.rows == [1])
    asked += [crowd.ask() for _ in range(5)]
    assert until(lambda: patient.assigned(epoch="7") == 6)
    gate.opened.set()
    assert {headers_of(reply.result(20))[names.HEADER_MODEL_VERSION] for reply in asked} == {"2"}
    assert len(gate.rows) < 6
    assert patient.outcomes(epoch="7") == {"ok": 6}


def test_a_slow_onnx_model_answers_many_callers_rightly_with_few_predictions(
    patient: Stage, crowd: Crowd, tmp_path: Path
) -> None:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(7)
    first, second = rng.normal(size=(2, 256)).astype("f4"), rng.normal(size=(256, 3)).astype("f4")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "A"], ["H"]), helper.make_node("Relu", ["H"], ["R"]),
         helper.make_node("MatMul", ["R", "B"], ["Y"])],
        "network",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(first, "A"), numpy_helper.from_array(second, "B")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder = tmp_path / "network"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {onnx: {data: model.onnx}}")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    loaded = load_version(folder, "network", "1", "d", LoadOptions(inline_below_microseconds=0))
    assert (loaded.quick, loaded.batchable) == (False, True)
    held = Held(loaded.predictor.predict)
    patient.set(ONLY, replace(loaded, predictor=Behaving(held)))
    rows = rng.normal(size=(16, 2)).astype("f4")
    asked = [crowd.ask({"X": [rows[0].tolist()]})]
    assert until(lambda: held.rows == [1])
    asked += [crowd.ask({"X": [row.tolist()]}) for row in rows[1:]]
    assert until(lambda: waiting(patient, patient.view.models[patient.name].loaded["1"], PLAIN) == 15)
    held.opened.set()
    answers = np.array([numbers(reply.result(20))["Y"][0] for reply in asked])
    assert np.allclose(answers, np.maximum(rows @ first, 0) @ second, rtol=1e-4, atol=1e-4)
    assert held.rows == [1, 15]


class Held:
    """A real model that waits to be let go."""

    def __init__(self, predict: Callable[[Inputs], Outputs]) -> None:
        self._predict = predict
        self.rows: list[int] = []
        self.opened = threading.Event()

    def __call__(self, inputs: Inputs) -> Outputs:
        self.rows.append(inputs.rows)
        self.opened.wait(20)
        return self._predict(inputs)
