"""What counts as evidence of a rollout, and what does not."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.values import Inputs, Outputs
from stagedoor import names
from stagedoor.domain.traffic import Arm, Drill, Sticky

from .conftest import Hang, Stage, headers_of, not_finite, on_trial, raises, twice, until, unwritable, version

LATE = time.time() + 3600


@pytest.mark.parametrize("path", ["/models/{}@candidate-alias/invocations", "/models/{}/2/invocations"])
def test_pinned_and_named_versions_are_no_evidence(stage: Stage, path: str) -> None:
    stage.set(on_trial(), version("1", twice), version("2", twice))
    stage.ask(path=path.format(stage.name))
    assert stage.assigned(epoch="7") == 0
    assert stage.outcomes(epoch="7") == {}


def test_a_route_that_nobody_watches_gives_no_evidence(stage: Stage) -> None:
    stage.set(on_trial(watched=False), version("1", twice), version("2", twice))
    stage.ask()
    assert stage.assigned(epoch="", version="2") == 1
    assert stage.assigned(epoch="7") == 0


def test_a_watched_route_of_one_arm_gives_evidence(stage: Stage) -> None:
    route = on_trial(arms=(Arm(names.ARM_CANDIDATE, "2", 10_000),), slow_seconds=0.0)
    stage.set(route, version("2", twice))
    stage.ask()
    assert stage.outcomes(epoch="7", version="2") == {"ok": 1}
    assert stage.count(names.METRIC_SLOW, epoch="7") == 1


def test_without_news_of_the_registry_the_stable_version_answers_and_it_is_no_evidence(stage: Stage) -> None:
    stage.set(on_trial(), version("1", twice), version("2", twice), stale=True)
    assert headers_of(stage.ask())[names.HEADER_MODEL_VERSION] == "1"
    assert stage.assigned(epoch="7") == 0


def test_a_split_by_aliases_alone_goes_on_without_news_of_the_registry(stage: Stage) -> None:
    stage.set(on_trial(issued=False, watched=False), version("1", twice), version("2", twice), stale=True)
    assert headers_of(stage.ask())[names.HEADER_MODEL_VERSION] == "2"


@pytest.mark.parametrize(("slow_seconds", "slow"), [(None, 0), (30.0, 0), (0.0, 1)])
def test_slow_answers_are_those_over_the_routes_limit(stage: Stage, slow_seconds: float | None, slow: int) -> None:
    stage.set(on_trial(slow_seconds=slow_seconds), version("1", twice), version("2", twice))
    stage.ask()
    assert stage.count(names.METRIC_SLOW, epoch="7") == slow


def test_a_callers_mistake_is_not_slow(stage: Stage) -> None:
    stage.set(on_trial(slow_seconds=0.0), version("1", twice), version("2", twice))
    stage.ask("nonsense")
    assert stage.count(names.METRIC_SLOW) == 0


def test_of_a_sticky_caller_only_the_first_outcome_counts(stage: Stage) -> None:
    number = itertools.count()

    def once(inputs: Inputs) -> Outputs:
        return twice(inputs) if next(number) else raises(inputs)

    stage.set(on_trial(sticky=Sticky("header", "X-User-Id")), version("1", twice), version("2", once))
    for user in ("ann", "ann", "bob", "ann", "bob"):
        assert stage.ask(x_user_id=user).status == 200
    assert stage.count(names.METRIC_USERS, version="2", epoch="7", outcome="failed") == 1
    assert stage.count(names.METRIC_USERS, version="2", epoch="7", outcome="ok") == 1
    assert stage.outcomes(epoch="7") == {"ok": 4, "model_error": 1}


def test_a_sticky_callers_mistake_is_not_their_first_outcome(stage: Stage) -> None:
    stage.set(on_trial(sticky=Sticky("claim", "sub")), version("1", twice), version("2", twice))
    stage.ask("nonsense")
    assert stage.count(names.METRIC_USERS) == 0
    stage.ask()
    assert stage.count(names.METRIC_USERS, version="2", outcome="ok") == 1


def drill(fault: str, rate: float = 1.0, until: float = LATE) -> Drill:
    return Drill(fault, rate, "blue", until)  # type: ignore[arg-type]


@pytest.mark.parametrize(("fault", "outcome"), [("error", "model_error"), ("nan", "invalid_output"), ("latency", "ok")])
def test_a_drill_hurts_its_cohort_alone(stage: Stage, fault: str, outcome: str) -> None:
    # What is not slowed down on purpose must not count as slow on a busy machine either.
    route = on_trial(drill=drill(fault), slow_seconds=0.05 if fault == "latency" else 30.0)
    stage.set(route, version("1", twice), version("2", twice))
    assert headers_of(stage.ask())[names.HEADER_MODEL_VERSION] == "1"
    assert headers_of(stage.ask(x_stagedoor_cohort="green"))[names.HEADER_MODEL_VERSION] == "1"
    assert stage.assigned(epoch="7") == 0
    assert stage.ask(x_stagedoor_cohort="blue").status == 200
    assert stage.outcomes(epoch="7", version="2") == {outcome: 1}
    assert stage.count(names.METRIC_SLOW, epoch="7", version="2") == (1 if fault == "latency" else 0)


def test_a_slow_answer_of_a_drill_never_sleeps_in_the_event_loop(stage: Stage) -> None:
    stage.set(on_trial(drill=drill("latency"), slow_seconds=0.05), version("1", twice), version("2", twice))

    predicting: list[str] = []

    def told(inputs: Inputs) -> Outputs:
        predicting.append(threading.current_thread().name)
        return twice(inputs)

    quick = version("2", told, quick=True)
    stage.set(on_trial(drill=drill("latency", rate=0.0)), version("1", twice), quick)
    stage.ask(x_stagedoor_cohort="blue")
    stage.set(on_trial(drill=drill("latency"), slow_seconds=0.01), version("1", twice), quick)
    stage.ask(x_stagedoor_cohort="blue")
    here, elsewhere = predicting
    assert here == threading.current_thread().name
    assert elsewhere.startswith("trial")


def test_a_drill_that_has_ended_sends_everything_to_the_stable_version(stage: Stage) -> None:
    stage.set(on_trial(drill=drill("error", until=time.time() - 1)), version("1", twice), version("2", twice))
    assert headers_of(stage.ask(x_stagedoor_cohort="blue"))[names.HEADER_MODEL_VERSION] == "1"
    assert stage.assigned(epoch="7") == 0


def test_a_drill_may_use_the_stable_version_as_its_candidate(stage: Stage) -> None:
    arms = (Arm("champion", "1", 1), Arm(names.ARM_CANDIDATE, "1", 9_999))
    stage.set(on_trial(arms=arms, drill=drill("error")), version("1", twice))
    reply = stage.ask(x_stagedoor_cohort="blue")
    assert (reply.status, headers_of(reply)[names.HEADER_SHIELDED_FROM]) == (200, "1")
    assert stage.outcomes(epoch="7", arm=names.ARM_CANDIDATE) == {"model_error": 1}


def test_a_share_of_the_cohort_suffers_the_fault(stage: Stage) -> None:
    stage.set(on_trial(drill=drill("error", rate=0.5)), version("1", twice), version("2", twice))
    for _ in range(100):
        stage.ask(x_stagedoor_cohort="blue")
    assert 20 < stage.outcomes(epoch="7")["model_error"] < 80  # a fair coin leaves this range once in a billion


MOODS: dict[str, Callable[..., Any]] = {"ok": twice, "raises": raises, "nan": not_finite, "unwritable": unwritable}


@settings(max_examples=20, deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.sampled_from([*MOODS, "hang"]), st.sampled_from(list(MOODS)), st.sampled_from([((1.0,),), "bad"])),
        min_size=1,
        max_size=6,
    ),
    quick=st.booleans(),
    shield=st.booleans(),
    weight=st.sampled_from([1, 5_000, 9_999]),
)
def test_whatever_happens_the_outcomes_add_up_to_what_was_assigned(
    tmp_path_factory: pytest.TempPathFactory,
    asked: Sequence[tuple[str, str, Any]],
    weight: int,
    *,
    quick: bool,
    shield: bool,
) -> None:
    stage, hang = Stage(tmp_path_factory.mktemp("law"), predict_timeout_seconds=0.06), Hang()
    moods = {"hang": hang, **MOODS}
    now = {"1": twice, "2": twice}
    one, two = (version(n, lambda inputs, n=n: now[n](inputs), quick=quick and n == "1") for n in "12")
    stage.set(on_trial(weight, shield=shield), one, two)
    for candidate, stable, data in asked:
        now.update({"1": MOODS[stable], "2": moods[candidate]})
        stage.ask(data)
    hang.let_go.set()
    assert until(lambda: hang.running == 0)
    stage.plane.close()
    for labels in ({"version": "1"}, {"version": "2"}):
        for epoch in ("", "7"):
            ends = stage.outcomes(**labels, epoch=epoch)
            ends.pop("client_error", None)
            assert sum(ends.values()) == stage.assigned(**labels, epoch=epoch)
    assert sum(stage.count(names.METRIC_USERS, outcome=outcome) for outcome in ("ok", "failed")) == 0


def test_users_are_remembered_by_all_workers(stage: Stage, tmp_path: Path) -> None:
    other = Stage(tmp_path)
    route = on_trial(sticky=Sticky("header", "X-User-Id"))
    stage.set(route, version("1", twice), version("2", twice))
    other.set(route, version("1", twice), version("2", twice), name=stage.name)
    for number in range(10):
        stage.ask(x_user_id=f"user{number}")
        other.ask(x_user_id=f"user{number}")
    other.recorder.flush()
    assert stage.count(names.METRIC_USERS, outcome="ok") == 10
    other.plane.close()
