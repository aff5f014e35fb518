"""Each gate by itself: what it lets pass, what it refuses, what it waits for, and what it cannot tell."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from registry_hooks.gates import GATES, Case, Examination, Facts, Result, Trouble, run_gates, verdict_of
from registry_hooks.gates.examination import Golden, Latency, Trial

MakeCase = Callable[..., Case]
Examined = Callable[..., Examination]
MIB = 2**20


def ask(case: Case, gate: str) -> Result:
    return dict(run_gates(GATES, case, 5))[gate]


def test_a_version_without_fault_passes_every_gate(case: MakeCase) -> None:
    results = run_gates(GATES, case())
    assert [name for name, _ in results] == [gate.name for gate in GATES]
    assert verdict_of(results) == "pass"


@pytest.mark.parametrize("gate", ["loads", "compatibility", "golden", "budget"])
def test_what_was_not_examined_never_passes(case: MakeCase, gate: str) -> None:
    unfetched = case(examination=None, trouble=Trouble("error", "Its artifacts cannot be fetched."))
    assert ask(unfetched, gate).outcome == "error"
    assert ask(unfetched, "digest") == Result("error", "Its artifacts cannot be fetched.")


@pytest.mark.parametrize("gate", ["compatibility", "golden", "budget"])
def test_a_version_that_does_not_load_passes_none_that_would_try_it(case: MakeCase, examined: Examined, gate: str) -> None:
    dead = case(examination=examined(failure=("LoadTimeout", "It did not load within 5 seconds.")))
    assert ask(dead, gate).outcome == "error"
    assert ask(dead, "loads") == Result("fail", "It did not load within 5 seconds.", {"code": "LoadTimeout"})


# --- digest ---


@pytest.mark.parametrize(
    ("tags", "outcome", "recorded"),
    [({}, "pass", False), ({"stagedoor.sha256": "d" * 64}, "pass", True), ({"stagedoor.sha256": "e" * 64}, "fail", True)],
)
def test_the_digest_is_the_recorded_one_or_is_to_be_recorded(
    case: MakeCase, tags: dict[str, str], outcome: str, *, recorded: bool
) -> None:
    result = ask(case(version_tags=tags), "digest")
    assert result.outcome == outcome
    assert result.evidence == {"sha256": "d" * 64, "recorded": recorded}


# --- golden ---


def test_a_golden_request_that_went_wrong_fails_with_its_reason(case: MakeCase, examined: Examined) -> None:
    golden = Golden(3, 2, (Trial("golden.json, request 2", "invalid", "a number in it is not finite"),))
    result = ask(case(examination=examined(golden=golden)), "golden")
    assert result.outcome == "fail"
    assert "1 of 3" in result.reason
    assert "request 2: a number in it is not finite" in result.reason


@pytest.mark.parametrize(("settings", "outcome"), [(None, "pass"), ("required", "fail"), ("requird", "error")])
def test_a_version_without_any_golden_request_fails_only_where_one_is_required(
    case: MakeCase, examined: Examined, settings: str | None, outcome: str
) -> None:
    tags = {"stagedoor.gate.golden": settings} if settings else {}
    assert ask(case(tags=tags, examination=examined(golden=Golden())), "golden").outcome == outcome


# --- budget ---


@pytest.mark.parametrize(
    ("settings", "found", "live", "outcome"),
    [
        (None, (0.010, 0.020, 100), (0.010, 0.020, 100), "pass"),
        (None, (0.030, 0.060, 100), (0.010, 0.020, 100), "fail"),
        (None, (0.010, 0.060, 100), (0.010, 0.020, 100), "pass"),  # a busy machine makes any tail long
        (None, (0.000010, 0.0001, 100), (0.000001, 0.00001, 100), "pass"),  # ten times next to nothing
        ("latency_ratio=4", (0.030, 0.060, 100), (0.010, 0.020, 100), "pass"),
        ("p99=50ms", (0.010, 0.049, 100), (0.010, 0.020, 100), "pass"),
        ("p99=50ms", (0.010, 0.051, 100), (0.010, 0.050, 100), "fail"),
        ("memory=200MiB", (0.010, 0.020, 100), None, "pass"),
        ("memory=99MiB", (0.010, 0.020, 100), None, "fail"),
        ("memory=0.05GiB p99=1s", (0.010, 0.020, 100), None, "fail"),
        ("memory=12", (0.010, 0.020, 100), None, "error"),
        ("p99=fast", (0.010, 0.020, 100), None, "error"),
        ("p98=50ms", (0.010, 0.020, 100), None, "error"),
        ("tight", (0.010, 0.020, 100), None, "error"),
        ("p99=50ms p99=60ms", (0.010, 0.020, 100), None, "error"),
    ],
)
def test_a_budget_holds_latency_and_memory(
    case: MakeCase, examined: Examined, *, settings: str | None, found: Any, live: Any, outcome: str
) -> None:
    asked = case(
        tags={"stagedoor.gate.budget": settings} if settings else {},
        live=live is not None,
        examination=examined(latency=Latency(*found)),
        **({"live_examination": examined(latency=Latency(*live))} if live else {}),
    )
    result = ask(asked, "budget")
    assert result.outcome == outcome, result.reason
    if outcome == "error":
        assert "write it like p99=50ms" in result.reason


@pytest.mark.parametrize(
    ("memory", "settings", "outcome"), [(190, None, "pass"), (300, None, "fail"), (300, "memory_ratio=3", "pass")]
)
def test_memory_is_held_against_the_live_version(
    case: MakeCase, examined: Examined, memory: int, settings: str | None, outcome: str
) -> None:
    tags = {"stagedoor.gate.budget": settings} if settings else {}
    assert ask(case(tags=tags, examination=examined(memory_bytes=memory * MIB)), "budget").outcome == outcome


def test_a_latency_limit_without_a_measurement_fails(case: MakeCase, examined: Examined) -> None:
    unmeasured = case(tags={"stagedoor.gate.budget": "p99=1s"}, examination=examined(latency=None))
    assert ask(unmeasured, "budget").outcome == "fail"


# --- metric ---


@pytest.mark.parametrize(
    ("settings", "own", "live", "outcome"),
    [
        ("accuracy", 0.90, 0.90, "pass"),
        ("accuracy", 0.89, 0.90, "fail"),
        ("accuracy margin=0.01", 0.89, 0.90, "pass"),
        ("accuracy margin=0.01", 0.8899, 0.90, "fail"),
        ("accuracy lower", 0.89, 0.90, "pass"),
        ("accuracy lower margin=0.02", 0.93, 0.90, "fail"),
        ("accuracy min=0.95", 0.94, 0.90, "fail"),
        ("accuracy max=0.5", 0.94, 0.90, "fail"),
        ("accuracy", None, 0.90, "fail"),
        ("accuracy", float("nan"), 0.90, "fail"),
        ("accuracy", float("inf"), 0.90, "fail"),
        ("accuracy", 0.9, None, "error"),
        ("accuracy", 0.9, float("nan"), "error"),
        ("accuracy margin=-1", 0.9, 0.9, "error"),
        ("accuracy margin=nan", 0.9, 0.9, "error"),
        ("accuracy loss", 0.9, 0.9, "error"),
        ("margin=1", 0.9, 0.9, "error"),
        ("", 0.9, 0.9, "error"),
    ],
)
def test_a_metric_may_not_be_worse_than_the_live_versions(
    case: MakeCase, settings: str, own: float | None, live: float | None, outcome: str
) -> None:
    facts = Facts("alice", {} if own is None else {"accuracy": own}, {} if live is None else {"accuracy": live})
    assert ask(case(tags={"stagedoor.gate.metric": settings}, facts=facts), "metric").outcome == outcome


def test_a_metric_that_cannot_be_read_is_an_error_and_needs_no_live_version_to_pass(case: MakeCase) -> None:
    tags = {"stagedoor.gate.metric": "accuracy"}
    assert ask(case(tags=tags, facts=Facts(metrics_trouble="MLflow is down.")), "metric") == Result("error", "MLflow is down.")
    assert ask(case(tags=tags, live=False, facts=Facts(metrics={"accuracy": 0.1})), "metric").outcome == "pass"


# --- approval ---


@pytest.mark.parametrize(
    ("asked", "approved", "who", "outcome"),
    [
        (None, None, "alice", "pass"),
        ("required", None, "alice", "wait"),
        ("required", "alice", "alice", "wait"),
        ("required", "bob", "alice", "pass"),
        (" Required ", "bob", "alice", "pass"),
        ("required", " ", "alice", "wait"),
        ("required", "bob", "unknown", "wait"),
        ("required", "bob", "", "wait"),
        ("perhaps", "bob", "alice", "error"),
    ],
)
def test_approval_waits_for_a_second_person(
    case: MakeCase, asked: str | None, approved: str | None, who: str, outcome: str
) -> None:
    made = case(
        tags={"stagedoor.approval": asked} if asked else {},
        version_tags={"stagedoor.approved": approved} if approved else {},
        facts=Facts(who),
    )
    assert ask(made, "approval").outcome == outcome


# --- downgrade ---


@pytest.mark.parametrize(
    ("settings", "own", "live", "outcome"),
    [
        (None, "1.0.0", "2.0.0", "pass"),
        ("refuse", "1.9.9", "2.0.0", "fail"),
        ("refuse", "2.0.0-rc.1", "2.0.0", "fail"),
        ("refuse", "2.0.0", "2.0.0", "pass"),
        ("refuse", "2.10.0", "2.9.0", "pass"),
        ("refuse", "v2.0.1", "2.0.0", "pass"),
        ("refuse", "1.0", "0.9.0", "fail"),
        ("refuse", None, "0.9.0", "fail"),
        ("refuse", "1.0.0", None, "pass"),
        ("allow", "1.0.0", "2.0.0", "error"),
    ],
)
def test_a_downgrade_can_be_refused(
    case: MakeCase, settings: str | None, own: str | None, live: str | None, outcome: str
) -> None:
    made = case(
        tags={"stagedoor.gate.downgrade": settings} if settings else {},
        version_tags={"semver": own} if own else {},
        live_tags={"semver": live} if live else {},
    )
    assert ask(made, "downgrade").outcome == outcome


# --- compatibility, as a gate ---


def test_without_a_live_version_there_is_nothing_to_be_compatible_with(case: MakeCase) -> None:
    assert ask(case(live=False), "compatibility").outcome == "pass"


def test_a_live_version_that_cannot_be_examined_holds_the_candidate_up_until_people_say_off(case: MakeCase) -> None:
    lost = case(live_examination=None, live_trouble=Trouble("fail", "The version has no files."))
    result = ask(lost, "compatibility")
    assert result.outcome == "error"
    assert "stagedoor.gate.compatibility = off" in result.reason
    waved = replace(lost, model=replace(lost.model, tags={"stagedoor.gate.compatibility": "off"}))
    assert ask(waved, "compatibility").outcome == "pass"


def test_a_live_version_that_no_longer_loads_is_compared_by_its_signature(case: MakeCase, examined: Examined) -> None:
    columns = ({"type": "double", "name": "a"},)
    dead = examined(failure=("LoadFailed", "It needs a module."), inputs=columns)
    assert ask(case(live_examination=dead, examination=examined(inputs=columns)), "compatibility").outcome == "pass"
    fewer = examined(inputs=({"type": "double", "name": "b"},))
    assert ask(case(live_examination=dead, examination=fewer), "compatibility").outcome == "fail"


def test_a_signature_that_mlflow_does_not_write_is_an_error(case: MakeCase, examined: Examined) -> None:
    assert ask(case(examination=examined(inputs=({"kind": "double"},))), "compatibility").outcome == "error"


def test_what_two_versions_really_answer_counts_beside_what_their_signatures_say(case: MakeCase, examined: Examined) -> None:
    declared = ({"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}},)
    label = ({"name": "", "datatype": "INT64", "shape": [2]},)
    both = (
        {"name": "label", "datatype": "INT64", "shape": [2]},
        {"name": "probabilities", "datatype": "FP32", "shape": [2, 3]},
    )
    made = case(
        examination=examined(outputs=declared, answers=both), live_examination=examined(outputs=declared, answers=label)
    )
    result = ask(made, "compatibility")
    assert result.outcome == "fail"
    assert "label, probabilities" in result.reason
