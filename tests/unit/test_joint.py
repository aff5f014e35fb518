"""Several callers in one prediction: each gets what they would have got alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from serving.joint import MOST_DOUBTS, Joint
from serving.values import UNNAMED, Inputs, Outputs
from stagedoor.errors import InvalidOutput, ModelFailed, SchemaMismatch
from tests.batching_world import CHECK, NOT_FINITE, POISON, Twice, block, tensor


def answers(joint: Joint, parts: Sequence[Inputs]) -> list[Any]:
    """What each caller was told, which must be one thing."""
    told: dict[int, Any] = {}

    def tell(at: int, answer: Outputs | Exception) -> None:
        assert at not in told
        told[at] = type(answer) if isinstance(answer, Exception) else next(iter(answer.arrays.values())).ravel().tolist()

    joint.answer(parts, tell)
    return [told[at] for at in range(len(parts))]


def test_one_prediction_answers_all() -> None:
    predictor = Twice()
    assert answers(Joint(predictor, CHECK), [tensor(1.0), tensor(2.0, 3.0), tensor(4.0)]) == [[2.0], [4.0, 6.0], [8.0]]
    assert predictor.calls == [4]


def test_blocks_are_answered_together() -> None:
    predictor = Twice()
    assert answers(Joint(predictor, CHECK), [block((1.0, 2.0)), block((3.0, 4.0))]) == [[2.0, 4.0], [6.0, 8.0]]
    assert predictor.calls == [2]


class Same:
    """Gives back the very arrays it got."""

    inputs = outputs = ()

    def predict(self, inputs: Inputs) -> Outputs:
        return Outputs("named", inputs.arrays)


def test_a_lone_request_and_its_answer_go_through_untouched() -> None:
    alone = tensor(1.0)
    answer = Joint(Same(), CHECK).alone(alone)
    assert isinstance(answer, Outputs)
    assert answer.arrays is alone.arrays


@pytest.mark.parametrize("place", range(8))
def test_a_poison_row_fails_alone(place: int) -> None:
    predictor = Twice()
    parts = [tensor(float(number)) for number in range(8)]
    parts[place] = tensor(POISON)
    wanted: list[Any] = [[2.0 * number] for number in range(8)]
    wanted[place] = ModelFailed
    joint = Joint(predictor, CHECK)
    assert answers(joint, parts) == wanted
    assert len(predictor.calls) == 1 + 2 * 3  # halving, not one by one
    assert not joint.one_by_one


def test_everybody_poisoned_fails_alone() -> None:
    predictor = Twice()
    assert answers(Joint(predictor, CHECK), [tensor(POISON)] * 5) == [ModelFailed] * 5
    assert predictor.calls.count(1) == 5


def test_an_answer_that_is_not_finite_is_asked_for_again_alone() -> None:
    predictor = Twice()
    parts = [tensor(1.0), tensor(NOT_FINITE), tensor(2.0), tensor(3.0, NOT_FINITE)]
    assert answers(Joint(predictor, CHECK), parts) == [[2.0], InvalidOutput, [4.0], InvalidOutput]
    assert predictor.calls == [5, 1, 2]


class Raises:
    """Raises `error` on a poison row."""

    inputs = outputs = ()

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def predict(self, inputs: Inputs) -> Outputs:
        if (inputs.arrays[UNNAMED] == POISON).any():
            raise self.error
        return Outputs.of_array(inputs.arrays[UNNAMED])


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
def test_whatever_a_model_raises_is_the_models_failure(error: BaseException) -> None:
    joint = Joint(Raises(error), CHECK)
    assert answers(joint, [tensor(1.0), tensor(POISON)]) == [[1.0], ModelFailed]
    failed = joint.alone(tensor(POISON))
    assert isinstance(failed, ModelFailed)
    assert failed.__cause__ is error


def test_our_own_errors_stay_what_they_are() -> None:
    joint = Joint(Raises(SchemaMismatch("x", "a known category", "another")), CHECK)
    assert answers(joint, [tensor(1.0), tensor(POISON)]) == [[1.0], SchemaMismatch]


class Summary:
    """Answers with one number for all rows."""

    inputs = outputs = ()

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, inputs: Inputs) -> Outputs:
        self.calls.append(inputs.rows)
        return Outputs.of_array(inputs.arrays[UNNAMED].sum(axis=0))


def test_answers_that_do_not_go_by_rows_are_asked_for_one_by_one_from_then_on() -> None:
    predictor = Summary()
    joint = Joint(predictor, CHECK)
    parts = [tensor(1.0), tensor(2.0, 3.0)]
    assert answers(joint, parts) == [[1.0], [5.0]]
    assert joint.one_by_one
    assert answers(joint, parts) == [[1.0], [5.0]]
    assert predictor.calls == [3, 1, 2, 1, 2]


def test_a_model_that_fails_on_batches_only_is_found_out() -> None:
    predictor = Twice(most=1)
    joint = Joint(predictor, CHECK)
    for number in range(MOST_DOUBTS):
        assert not joint.one_by_one, number
        assert answers(joint, [tensor(1.0), tensor(2.0)]) == [[2.0], [4.0]]
    assert joint.one_by_one
    predictor.calls.clear()
    assert answers(joint, [tensor(1.0), tensor(2.0)]) == [[2.0], [4.0]]
    assert predictor.calls == [1, 1]


def test_a_batch_that_works_takes_doubts_away() -> None:
    predictor = Twice(most=2)
    joint = Joint(predictor, CHECK)
    for _ in range(MOST_DOUBTS * 2):
        assert answers(joint, [tensor(1.0)] * 3) == [[2.0]] * 3
        assert answers(joint, [tensor(1.0)] * 2) == [[2.0]] * 2
    assert not joint.one_by_one


def test_a_check_that_breaks_on_an_answer_makes_it_invalid() -> None:
    def check(outputs: Outputs, rows: int) -> None:
        if rows > 1 or outputs.arrays[UNNAMED][0] == 0:
            raise TypeError

    assert answers(Joint(Twice(), check), [tensor(1.0), tensor(0.0)]) == [[2.0], InvalidOutput]


def test_empty_answers_are_invalid_for_everybody() -> None:
    class Nothing:
        inputs = outputs = ()

        def predict(self, inputs: Inputs) -> Outputs:
            return Outputs.of_array(np.zeros((inputs.rows, 0)))

    assert answers(Joint(Nothing(), CHECK), [tensor(1.0), tensor(2.0)]) == [InvalidOutput] * 2
