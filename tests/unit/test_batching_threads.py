"""Real threads before one model: batches form by themselves, and nobody gets another's answer."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from serving.batching import Batcher
from serving.rooms import Room
from serving.values import UNNAMED, Inputs, Outputs
from stagedoor.errors import Overloaded
from tests.batching_world import CHECK, POISON, Told, Twice, tensor

CALLERS = 8
PATIENCE = 20.0


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room(2, 16, "batches")
    yield made
    made.close()


class Heard(Told):
    """A caller in another thread, who waits."""

    def __init__(self) -> None:
        super().__init__()
        self._news = threading.Event()

    def __call__(self, answer: Outputs | Exception) -> None:
        super().__call__(answer)
        self._news.set()

    def wait(self) -> Any:
        assert self._news.wait(PATIENCE)
        return self.value


def test_what_comes_while_the_model_is_at_work_is_the_next_batch(room: Room) -> None:
    all_there = threading.Event()
    predictor = Twice(during=lambda number: all_there.wait(PATIENCE) if number == 1 else None)
    batcher = Batcher(predictor, CHECK, 64, room.submit)
    first = Heard()
    batcher.submit(tensor(0.0), first)
    others = [Heard() for _ in range(CALLERS)]
    threads = [
        threading.Thread(target=batcher.submit, args=(tensor(float(number)), heard)) for number, heard in enumerate(others)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    all_there.set()
    assert first.wait() == [[0.0]]
    assert [heard.wait() for heard in others] == [[[2.0 * number]] for number in range(CALLERS)]
    assert predictor.calls == [1, CALLERS]
    assert {heard.thread for heard in (first, *others)}.isdisjoint({threading.get_ident()})


class OneAtATime:
    """Doubles, and writes down whether two predictions ever ran at once."""

    inputs = outputs = ()

    def __init__(self) -> None:
        self.crowded = False
        self.calls = 0
        self._busy = threading.Lock()

    def predict(self, inputs: Inputs) -> Outputs:
        self.crowded |= not self._busy.acquire(blocking=False)
        self.calls += 1
        threading.Event().wait(0.001)
        values = inputs.arrays[UNNAMED]
        self._busy.release()
        if (values == POISON).any():
            raise ValueError
        return Outputs.of_array(values * 2)


def test_callers_in_many_threads_each_get_their_own(room: Room) -> None:
    predictor = OneAtATime()
    batcher = Batcher(predictor, CHECK, 4, room.submit)

    def call(caller: int) -> list[bool]:
        right = []
        for number in range(20):
            spoils = (caller + number) % 7 == 0
            rows = [POISON] if spoils else [caller * 1000.0 + number] * (1 + number % 3)
            heard = Heard()
            ticket = batcher.submit(tensor(*rows), heard)
            if number % 5 == 4 and ticket.cancel():
                right.append(True)
                continue
            right.append(heard.wait() == ("ModelFailed" if spoils else [[2 * value] for value in rows]))
        return right

    with ThreadPoolExecutor(CALLERS) as threads:
        right = [answer for answers in threads.map(call, range(CALLERS)) for answer in answers]
    assert len(right) == CALLERS * 20
    assert all(right)
    assert not predictor.crowded
    deadline = time.monotonic() + PATIENCE
    while batcher.waiting_rows and time.monotonic() < deadline:
        time.sleep(0.005)  # those who left last are dropped when the drain comes to them
    assert batcher.waiting_rows == 0


def test_a_closed_room_refuses_and_leaves_nothing_behind(room: Room) -> None:
    batcher = Batcher(Twice(), CHECK, 4, room.submit)
    room.close()
    with pytest.raises(Overloaded):
        batcher.submit(tensor(1.0), Told())
    assert batcher.waiting_rows == 0


def test_rows_of_a_real_graph_get_the_same_answers_together(room: Room, tiny_graph: Callable[[Inputs], Outputs]) -> None:
    class Graph:
        inputs = outputs = ()

        def __init__(self) -> None:
            self.calls: list[int] = []
            self.go = threading.Event()

        def predict(self, inputs: Inputs) -> Outputs:
            assert self.go.wait(PATIENCE)
            self.calls.append(inputs.rows)
            return tiny_graph(inputs)

    random = np.random.default_rng(5)
    asked = [tensor(*random.normal(size=1 + number % 3), width=4, dtype=np.float32) for number in range(12)]
    predictor = Graph()
    batcher = Batcher(predictor, CHECK, 64, room.submit)
    heard = [Heard() for _ in asked]
    for inputs, told in zip(asked, heard, strict=True):
        batcher.submit(inputs, told)
    predictor.go.set()
    for inputs, told in zip(asked, heard, strict=True):
        alone = next(iter(tiny_graph(inputs).arrays.values()))
        np.testing.assert_allclose(np.array(told.wait(), np.float32), alone, rtol=1e-5)
    assert len(predictor.calls) <= 2


@pytest.fixture
def tiny_graph() -> Callable[[Inputs], Outputs]:
    """A small ONNX network `[n, 4] -> [n, 3]` in ONNX Runtime."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    from serving.loading.loaders.onnx import OnnxPredictor

    random = np.random.default_rng(3)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "W"], ["H"]), helper.make_node("Softmax", ["H"], ["Y"], axis=1)],
        "tiny",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(random.normal(size=(4, 3)).astype(np.float32), "W")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return OnnxPredictor(onnxruntime.InferenceSession(model.SerializeToString())).predict
