"""Predictors that behave as they are told, and callers that write down what they get."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from serving.batching import Batcher, Ticket
from serving.schema import compile_signature
from serving.values import UNNAMED, Block, Inputs, Outputs
from stagedoor.errors import Overloaded

POISON = -1.0
"""A row that makes `Twice` raise."""

NOT_FINITE = math.inf
"""A row that `Twice` answers with infinity."""

CHECK = compile_signature(None, None, None).check_outputs


def tensor(*values: float, width: int = 1, dtype: Any = np.float64) -> Inputs:
    return Inputs("tensors", {UNNAMED: np.repeat(np.array(values, dtype).reshape(-1, 1), width, axis=1)}, len(values))


POSITIONS = {"a": 0, "b": 1}


def block(*rows: Sequence[float]) -> Inputs:
    return Inputs("table", Block(np.array(rows), POSITIONS), len(rows))


class Twice:
    """Doubles each row. `during` is called within every prediction, with its number; `calls` holds the rows of each."""

    inputs = outputs = ()

    def __init__(self, during: Callable[[int], object] = lambda _: None, most: int | None = None) -> None:
        self.calls: list[int] = []
        self._during = during
        self._most = most

    def predict(self, inputs: Inputs) -> Outputs:
        self.calls.append(inputs.rows)
        self._during(len(self.calls))
        arrays = inputs.arrays
        values = arrays.matrix if isinstance(arrays, Block) else next(iter(arrays.values()))
        if self._most is not None and inputs.rows > self._most:
            raise MemoryError
        if (values == POISON).any():
            raise ValueError("poison")
        return Outputs("array", {UNNAMED: values * 2})


class Threads:
    """Starts work when it is told to; `full` refuses it."""

    def __init__(self) -> None:
        self.pending: list[Callable[[], None]] = []
        self.full = False

    def __call__(self, work: Callable[[], None]) -> None:
        if self.full:
            raise Overloaded
        self.pending.append(work)

    def run(self) -> None:
        while self.pending:
            self.pending.pop(0)()


class Told:
    """A caller's `done`."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.thread = 0

    def __call__(self, answer: Outputs | Exception) -> None:
        self.answers.append(answer)
        self.thread = threading.get_ident()

    @property
    def value(self) -> Any:
        """The values of the one answer, or the name of its error."""
        (answer,) = self.answers
        return type(answer).__name__ if isinstance(answer, Exception) else next(iter(answer.arrays.values())).tolist()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A batcher whose threads run when the test says so."""

    def __init__(self, predictor: Twice, max_rows: int = 8, **limits: Any) -> None:
        self.threads = Threads()
        self.clock = Clock()
        self.batcher = Batcher(predictor, CHECK, max_rows, self.threads, clock=self.clock, **limits)
        self.told: list[Told] = []

    def submit(self, *values: float | Inputs) -> list[Ticket]:
        """One request for each value."""
        return [self.send(value if isinstance(value, Inputs) else tensor(value)) for value in values]

    def send(self, inputs: Inputs) -> Ticket:
        told = Told()
        ticket = self.batcher.submit(inputs, told)
        self.told.append(told)
        return ticket

    def run(self) -> list[Any]:
        self.threads.run()
        return [told.value for told in self.told]
