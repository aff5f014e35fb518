import io
import math
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY

from serving.recorder import FLUSH_SECONDS, SLICE, WRITE_SECONDS, Recorder
from serving.records import Record
from serving.routing import Choice
from stagedoor.domain.snapshot import ModelEntry, VersionEntry
from stagedoor.domain.traffic import Arm, Route
from tests.benchmarks.bench import names
from tests.benchmarks.bench.scenarios import PERIOD, RATE, Recording, entries

SERVED = ModelEntry(
    "bench",
    versions={number: VersionEntry(number, "ready", "digest") for number in ("1", "2")},
    route=Route(3, (Arm("champion", "1", 5000), Arm("challenger", "2", 5000)), b"salt"),
)


def test_each_scenario_has_as_many_models_and_routes_as_its_name_says() -> None:
    found = {
        scenario: (len(models), sum(entry.route is not None for entry in models.values()))
        for scenario, models in entries(SERVED).items()
    }
    assert found == {
        names.ONE: (1, 1),
        names.HUNDRED: (100, 1),
        names.MANY: (5000, 1),
        names.LOADED: (50, 50),
        names.IN_TURN_10: (10, 10),
        names.IN_TURN: (50, 50),
        names.IN_TURN_200: (200, 200),
        names.ARMS_20: (1, 1),
        names.ARMS: (1, 1),
    }
    assert tuple(found) == names.SCENARIOS


@pytest.mark.parametrize(("scenario", "count"), [(names.ONE, 2), (names.ARMS_20, 20), (names.ARMS, 100)])
def test_so_many_arms_are_so_many_ready_versions_of_the_same_files(scenario: str, count: int) -> None:
    entry = entries(SERVED)[scenario]["bench"]
    assert entry.route is not None
    assert len(entry.route.arms) == count
    assert {entry.versions[arm.version].digest for arm in entry.route.arms} == {"digest"}


def written(model: str, epoch: str = "") -> float:
    labels = {"model": model, "version": "1", "arm": "champion", "epoch": epoch, "outcome": "ok"}
    return REGISTRY.get_sample_value("stagedoor_predictions_total", labels) or 0.0


def answered(recorder: Recorder, model: str, number: int, epoch: str = "") -> None:
    for _ in range(number):
        recorder.add(Record("r", 0.0, 200, 0.001, "ok", "ok", choice=Choice(model, "1", "champion", 0, None), epoch=epoch))


def test_a_worker_at_the_rate_writes_once_in_a_period_and_all_of_it() -> None:
    recorder = Recorder(None)
    recording = Recording(recorder)
    found = []
    for _ in range(4 * PERIOD // SLICE):
        answered(recorder, "paced", SLICE)
        recording.settle()
        found.append(written("paced"))
    steps = [after - before for before, after in pairwise(found) if after != before]
    assert steps == [PERIOD] * len(steps)
    assert len(steps) in {3, 4}


@pytest.mark.parametrize("left_over", [0, 5, SLICE - 1])
def test_a_period_that_is_settled_as_a_whole_is_written_once_whatever_was_left_over(left_over: int) -> None:
    recorder, model = Recorder(None), f"paced-{left_over}"
    recording = Recording(recorder)
    answered(recorder, model, PERIOD + left_over)
    recording.settle()
    before = written(model)
    for number in (1, 2, 3):
        answered(recorder, model, PERIOD)
        recording.settle()
        assert written(model) == before + number * PERIOD


def test_a_recording_writes_evidence_with_its_slice_and_lines_when_the_thread_would_wake_up() -> None:
    stream = io.BytesIO()
    recorder = Recorder(stream)
    recording = Recording(recorder)
    answered(recorder, "paced-evidence", SLICE, epoch="3")
    recording.settle()
    assert written("paced-evidence", "3") == SLICE
    assert stream.getvalue() == b""
    awake = math.ceil(FLUSH_SECONDS * RATE / SLICE) * SLICE
    answered(recorder, "paced-evidence", 2 * awake, epoch="3")
    recording.settle()
    assert len(stream.getvalue().splitlines()) == 2 * awake


def test_a_period_is_what_the_rate_says() -> None:
    assert (PERIOD - SLICE) / RATE <= WRITE_SECONDS < PERIOD / RATE
