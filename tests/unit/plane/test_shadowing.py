"""A mirrored version gets copies, and nobody waits for it."""

import time
from typing import Any

import numpy as np
import pytest

from serving.agreement import agree
from serving.shadow import AFTER_SECONDS, WAITING
from serving.values import Inputs, Outputs
from stagedoor import names

from .conftest import TIMEOUT, Hang, Stage, not_finite, on_trial, raises, twice, until, version


def mirrored(**changes: Any) -> Any:
    return on_trial(weight=0, mirror="3", **changes)


def copies(stage: Stage, outcome: str, epoch: str = "7") -> float:
    return stage.count(names.METRIC_SHADOW, version="3", epoch=epoch, outcome=outcome)


def thrice(inputs: Inputs) -> Outputs:
    return Outputs.of_array(next(iter(inputs.arrays.values())) * 3.0)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [(twice, "agree"), (thrice, "disagree"), (raises, "model_error"), (not_finite, "invalid_output")],
)
def test_a_copy_is_compared_with_what_was_sent(stage: Stage, behaviour: Any, outcome: str) -> None:
    stage.set(mirrored(), version("1", twice), version("2", twice), version("3", behaviour))
    assert stage.ask().status == 200
    assert until(lambda: copies(stage, outcome) == 1)
    assert stage.assigned(version="3") == 0
    assert stage.outcomes(version="3") == {}


def test_a_mirror_that_refuses_what_was_answered_has_failed(stage: Stage) -> None:
    stage.set(mirrored(), version("1", twice), version("2", twice), version("3", twice, width=4))
    stage.ask()
    assert until(lambda: copies(stage, "model_error") == 1)


def test_a_permanent_mirror_needs_no_rollout(stage: Stage) -> None:
    stage.set(mirrored(watched=False), version("1", twice), version("2", twice), version("3", twice))
    stage.ask()
    assert until(lambda: copies(stage, "agree", epoch="") == 1)


@pytest.mark.parametrize("data", ["nonsense", [[1.0, 2.0]]])
def test_a_request_that_was_refused_is_not_copied(stage: Stage, data: Any) -> None:
    stage.set(mirrored(), version("1", twice), version("2", twice), version("3", twice))
    stage.ask(data)
    stage.ask()
    assert until(lambda: copies(stage, "agree") == 1)
    assert stage.count(names.METRIC_SHADOW) == 1


def test_a_mirror_that_is_not_in_memory_drops_its_copies(stage: Stage) -> None:
    stage.set(mirrored(), version("1", twice), version("2", twice))
    assert stage.ask().status == 200
    assert copies(stage, "dropped") == 1


def test_a_mirror_that_hangs_holds_up_nobody_and_the_rest_is_dropped(stage: Stage, hang: Hang) -> None:
    stage.set(mirrored(), version("1", twice), version("2", twice), version("3", hang))
    stage.ask()
    assert until(lambda: hang.running == 1)
    for _ in range(WAITING + 5):
        assert stage.ask().status == 200  # and while the mirror hangs
    assert hang.running == 1
    assert copies(stage, "dropped") == 5
    time.sleep(TIMEOUT)
    stage.ask()
    assert copies(stage, "timeout") == 1
    hang.let_go.set()
    assert until(lambda: copies(stage, "agree") == WAITING)
    assert copies(stage, "timeout") == 1


def test_a_copy_lets_its_own_answer_go_first(stage: Stage) -> None:
    began: list[float] = []

    def late(inputs: Inputs) -> Outputs:
        began.append(time.monotonic())
        return twice(inputs)

    stage.set(mirrored(), version("1", twice), version("2", twice), version("3", late))
    asked = time.monotonic()
    stage.ask()
    assert until(lambda: len(began) == 1)
    assert began[0] - asked >= AFTER_SECONDS


def array(*values: Any, dtype: Any = None) -> Outputs:
    return Outputs.of_array(np.array(values, dtype))


PAIRS = [
    (array(1.0, 2.0), array(1.0005, 2.001), True),
    (array(1.0, 2.0), array(1.01, 2.0), False),
    (array(0.0), array(5e-7), True),
    (array(1.0), array(1.0, 1.0), False),
    (array(1.0), array(1), True),
    (array(1, 2), array(1, 3), False),
    (array("cat", dtype=object), array("cat", dtype=object), True),
    (array("cat", dtype=object), array("dog", dtype=object), False),
    (array(1, dtype=bool), array(0, dtype=bool), False),
    (Outputs("named", {"a": np.ones(2)}), Outputs("named", {"b": np.ones(2)}), False),
    (Outputs("named", {"a": np.ones(2)}), Outputs("table", {"a": np.ones(2)}), True),
    (Outputs("json", value=[{"p": 0.5}]), Outputs("json", value=[{"p": 0.5001}]), True),
    (Outputs("json", value=[{"p": 0.5}]), Outputs("json", value=[{"p": 0.6}]), False),
    (Outputs("json", value={"a": 1}), Outputs("json", value={"b": 1}), False),
    (Outputs("json", value=[1]), Outputs("json", value=[1, 2]), False),
    (Outputs("json", value=1.0), array(1.0), False),
    (array({"0": 0.25}, dtype=object), array({"0": 0.2500001}, dtype=object), True),
]


@pytest.mark.parametrize(("sent", "other", "same"), PAIRS)
def test_answers_agree_within_the_tolerance(sent: Outputs, other: Outputs, *, same: bool) -> None:
    assert agree(sent, other) is same
