"""What opportunistic batching gives: an MLP 784-2048-2048-10 in this process, alone and in batches, by callers in many threads.

    python tests/benchmarks/batching.py [seconds for each cell] [rounds]

The cells of a round are interleaved; each figure is the median of the rounds.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from serving.batching import Batcher
from serving.loading.loaders.onnx import OnnxPredictor
from serving.rooms import Room
from serving.schema import compile_signature
from serving.values import Inputs, Outputs, Predictor

WIDTHS = (784, 2048, 2048, 10)
LIMITS = (1, 8, 32)
CALLERS = (1, 16, 64)
PATIENCE = 10.0

Ask = Callable[[Inputs, Callable[[], None]], None]
"""Takes rows and what to call when they have been answered."""


class Cell(NamedTuple):
    requests_per_second: float
    cpu_microseconds: float
    p50_milliseconds: float


def mlp() -> OnnxPredictor:
    """The network, with one thread to a prediction, as the gateway loads it."""
    random = np.random.default_rng(1)
    nodes, weights = [], []
    for layer, (wide, next_wide) in enumerate(pairwise(WIDTHS)):
        matrix = (random.normal(size=(wide, next_wide)) / np.sqrt(wide)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"W{layer}"))
        last = layer == len(WIDTHS) - 2
        source, target = f"X{layer}", "Y" if last else f"H{layer}"
        nodes.append(helper.make_node("MatMul", [source, f"W{layer}"], [target]))
        if not last:
            nodes.append(helper.make_node("Relu", [target], [f"X{layer + 1}"]))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("X0", TensorProto.FLOAT, [None, WIDTHS[0]])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, WIDTHS[-1]])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return OnnxPredictor(ort.InferenceSession(model.SerializeToString(), options))


@dataclass
class Caller:
    """Asks again as soon as it has been answered, until `until`."""

    ask: Ask
    until: float
    done: threading.Event
    seconds: list[float]
    asked: float = 0.0

    def go(self) -> None:
        """Ask once."""
        self.asked = time.perf_counter()
        self.ask(ROW, self.answered)

    def answered(self) -> None:
        """Note how long it took, and ask again."""
        now = time.perf_counter()
        self.seconds.append(now - self.asked)
        if now < self.until:
            self.go()
        else:
            self.done.set()


ROW = Inputs("tensors", {"X0": np.random.default_rng(2).normal(size=(1, WIDTHS[0])).astype(np.float32)}, 1)


def measure(ask: Ask, callers: int, seconds: float) -> Cell:
    """A closed loop of so many callers."""
    taken: list[float] = []
    start, cpu = time.perf_counter(), time.process_time()
    crowd = [Caller(ask, start + seconds, threading.Event(), taken) for _ in range(callers)]
    for caller in crowd:
        caller.go()
    for caller in crowd:
        if not caller.done.wait(seconds + PATIENCE):
            raise TimeoutError
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    return Cell(len(taken) / wall, used / len(taken) * 1e6, statistics.median(taken) * 1e3)


def in_threads(predictor: Predictor, room: Room) -> Ask:
    """Without batching: a thread of the pool for each request."""

    def ask(inputs: Inputs, done: Callable[[], None]) -> None:
        def work() -> None:
            predictor.predict(inputs)
            done()

        room.submit(work)

    return ask


def in_batches(predictor: Predictor, room: Room, limit: int) -> Ask:
    """Through a batcher of at most `limit` rows."""
    check = compile_signature(None, None, None).check_outputs
    batcher = Batcher(predictor, check, limit, room.submit)

    def ask(inputs: Inputs, done: Callable[[], None]) -> None:
        def answered(answer: Outputs | Exception) -> None:
            if isinstance(answer, Exception):
                raise answer
            done()

        batcher.submit(inputs, answered)

    return ask


class Nothing:
    """A model that costs nothing, to see what the queue does."""

    inputs = outputs = ()

    def predict(self, inputs: Inputs) -> Outputs:
        """Give back what came."""
        return Outputs("named", inputs.arrays)


def main(seconds: float = 1.0, rounds: int = 3) -> None:
    """Print both tables."""
    room = Room(2, 1024, "bench")
    for title, predictor in (("MLP 784-2048-2048-10", mlp()), ("a model that costs nothing", Nothing())):
        ways = {f"batches of {limit}": in_batches(predictor, room, limit) for limit in LIMITS[1:]}
        ways = {"each in a thread": in_threads(predictor, room)} | ways
        cells: dict[tuple[str, int], list[Cell]] = {}
        for _ in range(rounds):
            for callers in CALLERS:
                for name, ask in ways.items():
                    cells.setdefault((name, callers), []).append(measure(ask, callers, seconds))
        show(title, list(ways), cells)
    room.close()


def show(title: str, ways: list[str], cells: dict[tuple[str, int], list[Cell]]) -> None:
    """One row for each way, one column for each number of callers."""
    table = Table(title=f"{title}: requests/s, CPU us a request, p50 ms")
    for heading in ("", *(f"{callers} callers" for callers in CALLERS)):
        table.add_column(heading, justify="right")
    for name in ways:
        shown = []
        for callers in CALLERS:
            rate, cpu, p50 = (statistics.median(column) for column in zip(*cells[name, callers], strict=True))
            shown.append(f"{rate:,.0f}  {cpu:,.0f}  {p50:.2f}")
        table.add_row(name, *shown)
    Console(width=120).print(table)


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((float, int), sys.argv[1:], strict=False)))
