"""Whoever comes, leaves or spoils it, in whatever order: each caller gets exactly their own answer, once."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from hypothesis import given, note
from hypothesis import strategies as st

from serving.batching import Batcher
from serving.tickets import Ticket
from serving.values import UNNAMED, Block, Inputs, Outputs
from stagedoor.errors import Overloaded
from tests.batching_world import CHECK, Threads

MAX_ROWS = 5
MAX_WAITING = 12
ROWS_OF_ONE = 100
"""More than any request has: row r of caller c carries the number c * ROWS_OF_ONE + r."""

POSITIONS = {width: {str(place): place for place in range(width)} for width in (1, 2)}
Fault = Literal["", "raises", "exits", "infinite"]
EXPECTED = {"raises": "ModelFailed", "exits": "ModelFailed", "infinite": "InvalidOutput"}


class Send(NamedTuple):
    rows: int
    width: int
    block: bool
    fault: Fault


class Leave(NamedTuple):
    """Some caller tries to leave the queue."""

    who: int


class Run(NamedTuple):
    """A thread has time."""


class Fill(NamedTuple):
    """From now on no thread can be had, or one can again."""

    full: bool


Step = Send | Leave | Run | Fill

STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Send, st.integers(1, 7), st.sampled_from([1, 2]), st.booleans(), st.sampled_from(["", "", "", *EXPECTED])),
    st.builds(Send, st.just(1), st.just(1), st.just(False), st.just("")),  # noqa: FBT003  most are small, and of one kind
    st.builds(Leave, st.integers(0, 30)),
    st.builds(Run),
    st.builds(Fill, st.booleans()),
)


@dataclass
class Caller:
    number: int
    sent: Send
    ticket: Ticket | None = None
    answers: list[Any] = field(default_factory=list)
    left: bool = False
    refused: bool = False

    @property
    def inputs(self) -> Inputs:
        rows = np.arange(self.sent.rows, dtype=np.float64) + self.number * ROWS_OF_ONE
        matrix = np.repeat(rows.reshape(-1, 1), self.sent.width, axis=1)
        if self.sent.block:
            return Inputs("table", Block(matrix, POSITIONS[self.sent.width]), self.sent.rows)
        return Inputs("tensors", {UNNAMED: matrix}, self.sent.rows)

    @property
    def alone(self) -> Any:
        """What the caller would get if there were no others."""
        arrays = self.inputs.arrays
        matrix = arrays.matrix if isinstance(arrays, Block) else arrays[UNNAMED]
        return EXPECTED.get(self.sent.fault) or (matrix * 2).tolist()


class World:
    """The queue, its callers, and a model within whose predictions more of them come and go."""

    inputs = outputs = ()

    def __init__(self, during: list[list[Step]], most: int, *, divisible: bool) -> None:
        self.threads = Threads()
        self.batcher = Batcher(self, CHECK, MAX_ROWS, self.threads, MAX_WAITING, max_wait_seconds=1e6, hangs_after_seconds=1e6)
        self.callers: list[Caller] = []
        self.calls: list[list[int]] = []
        self._during = during
        self._most = most
        self._divisible = divisible
        self._inside = False

    def do(self, step: Step) -> None:
        if isinstance(step, Send):
            self._send(step)
        elif isinstance(step, Leave):
            if step.who < len(self.callers):
                caller = self.callers[step.who]
                caller.left = caller.ticket is not None and caller.ticket.cancel()
        elif isinstance(step, Fill):
            self.threads.full = step.full
        elif not self._inside:
            self.threads.run()

    def _send(self, step: Send) -> None:
        caller = Caller(len(self.callers), step)
        self.callers.append(caller)
        waited = self.batcher.waiting_rows
        try:
            caller.ticket = self.batcher.submit(caller.inputs, caller.answers.append)
        except Overloaded:
            caller.refused = True
            assert self.threads.full or waited + step.rows > MAX_WAITING
        assert self.batcher.waiting_rows <= max(MAX_WAITING, step.rows)

    def predict(self, inputs: Inputs) -> Outputs:
        arrays = inputs.arrays
        matrix = arrays.matrix if isinstance(arrays, Block) else arrays[UNNAMED]
        numbers = [int(value) // ROWS_OF_ONE for value in matrix[:, 0]]
        callers = list(dict.fromkeys(numbers))
        assert inputs.rows == len(matrix) == sum(self.callers[number].sent.rows for number in callers)
        assert inputs.rows <= MAX_ROWS or len(callers) == 1
        assert len({(self.callers[n].sent.width, self.callers[n].sent.block) for n in callers}) == 1
        self.calls.append(callers)
        self._inside = True
        for step in self._during.pop(0) if self._during else ():
            self.do(step)
        self._inside = False
        return self._answer(matrix, {self.callers[number].sent.fault for number in callers}, len(callers))

    def _answer(self, matrix: Any, faults: set[str], callers: int) -> Outputs:
        if "exits" in faults:
            raise SystemExit
        if "raises" in faults or (callers > 1 and len(matrix) > self._most):
            raise ValueError
        if callers > 1 and not self._divisible:
            return Outputs.of_array(matrix.sum(axis=0) * np.ones((len(matrix) + 1, 1)))
        answer = matrix * 2
        for row, value in enumerate(matrix[:, 0]):
            if self.callers[int(value) // ROWS_OF_ONE].sent.fault == "infinite":
                answer[row] = np.inf
        return Outputs.of_array(answer)


def shown(answer: Any) -> Any:
    return type(answer).__name__ if isinstance(answer, Exception) else answer.arrays[UNNAMED].tolist()


@given(
    steps=st.lists(STEPS, max_size=25),
    during=st.lists(st.lists(STEPS, max_size=4), max_size=8),
    most=st.sampled_from([1, 3, MAX_ROWS, MAX_ROWS]),
    divisible=st.sampled_from([True, True, True, False]),
)
def test_each_gets_what_they_would_have_got_alone_once(
    steps: list[Step], during: list[list[Step]], most: int, *, divisible: bool
) -> None:
    world = World(during, most, divisible=divisible)
    for step in steps:
        world.do(step)
    world.threads.full = False
    world.threads.run()
    note(f"predicted: {world.calls}")
    predicted = [number for call in world.calls for number in call]
    for caller in world.callers:
        if caller.left or caller.refused:
            assert caller.answers == []
            assert caller.number not in predicted
        else:
            assert [shown(answer) for answer in caller.answers] == [caller.alone]
    assert world.batcher.waiting_rows == 0
    assert not world.threads.pending
    assert_in_order(world, predicted)
    if world.batcher.one_by_one:
        assert not divisible or most < MAX_ROWS


def assert_in_order(world: World, predicted: list[int]) -> None:
    """Of two callers with the same kind of data, whoever came first goes first."""
    first_tries = [world.callers[number] for number in dict.fromkeys(predicted)]
    for kind in {(caller.sent.width, caller.sent.block) for caller in first_tries}:
        numbers = [caller.number for caller in first_tries if (caller.sent.width, caller.sent.block) == kind]
        assert numbers == sorted(numbers)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.data())
def test_who_spoils_a_batch_fails_alone(sizes: list[int], data: st.DataObject) -> None:
    faults: list[Fault] = data.draw(st.lists(st.sampled_from(["", *EXPECTED]), min_size=len(sizes), max_size=len(sizes)))
    world = World([], MAX_ROWS, divisible=True)
    for rows, fault in zip(sizes, faults, strict=True):
        world.do(Send(rows, 1, block=False, fault=fault))
        world.do(Run())
    assert [shown(caller.answers[0]) for caller in world.callers] == [caller.alone for caller in world.callers]
