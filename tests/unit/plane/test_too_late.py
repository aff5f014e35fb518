"""Who was let in before it was known for an overload, and whose turn comes too late: refused, and counted all the same."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.alarm import Alarm
from serving.values import Inputs, Outputs
from stagedoor import names
from stagedoor.domain.traffic import Route
from stagedoor.domain.tuning import Tuning

from .conftest import ONLY, PLAIN, Crowd, Gate, Stage, adds_up, headers_of, on_their_way, on_trial, twice, until, version

ALONE = Tuning(batch=0)
BEHIND = 3
_names = (f"too-late-{number}" for number in itertools.count())
"""Each of one test alone: those who share a version's name share its alarm, which goes on for half a second."""


class Soon(Gate):
    """Answers the first one at once, so that it is known how quick it can be; with the second there is an overload."""

    def __init__(self) -> None:
        super().__init__()
        self.name = next(_names)

    def __call__(self, inputs: Inputs) -> Outputs:
        if not self.rows:
            self.rows.append(inputs.rows)
            return twice(inputs)
        answer = super().__call__(inputs)
        for number in ("1", "2"):
            Alarm.of(self.name, number).sound(time.perf_counter())
        return answer


@pytest.fixture
def soon() -> Iterator[Soon]:
    made = Soon()
    yield made
    made.opened.set()


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, predict_timeout_seconds=20.0, model_queue_milliseconds=1.0)
    yield made
    made.plane.close()


@pytest.mark.parametrize("tuning", [ALONE, PLAIN], ids=["alone", "in batches"])
@pytest.mark.parametrize(
    ("route", "told"),
    [(ONLY, (503, "1", "1")), (on_trial(shield=False), (503, "1", "2")), (on_trial(), (200, None, "1"))],
    ids=["stable", "on trial", "shielded"],
)
def test_they_are_refused(strict: Stage, soon: Soon, route: Route, told: tuple[int, str | None, str], tuning: Tuning) -> None:
    judged = route.arms[-1].version
    one = version(judged, soon, name=soon.name, quick=False, batchable=True, cores=10_000)
    strict.set(route, version("1", twice), one, tuning=tuning)
    assert strict.ask().status == 200
    with ThreadPoolExecutor(1 + BEHIND) as threads:
        crowd = Crowd(strict, threads)
        asked = [crowd.ask()]
        assert until(lambda: len(soon.rows) == 2)
        asked += [crowd.ask() for _ in range(BEHIND)]
        assert until(lambda: on_their_way(strict, one, tuning, trial=route.shield) == 1 + BEHIND)
        time.sleep(0.3)  # longer than five of its quickest predictions
        soon.opened.set()
        first, *late = [reply.result(20) for reply in asked]

    assert first.status == 200
    said = [
        (reply.status, headers_of(reply).get("Retry-After"), headers_of(reply)[names.HEADER_MODEL_VERSION]) for reply in late
    ]
    assert said == [told] * BEHIND
    assert soon.rows == [1, 1], "and nothing was run for them"
    assert strict.outcomes(version=judged) == {"ok": 2, "overload": BEHIND}
    assert adds_up(strict)
