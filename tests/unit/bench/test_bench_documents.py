import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.bench import names
from tests.benchmarks.bench.document import Inside, Memory, Missing, Start, add, from_json, merge, to_json
from tests.benchmarks.bench.page import page

from .conftest import CALM, RUN, closed, empty

NUMBERS = st.floats(0.001, 1e7).map(lambda value: float(f"{value:.5g}"))
NAMES = st.sampled_from(["stagedoor", "triton", "echo"])
ROWS = st.one_of(
    st.builds(closed, NAMES, st.sampled_from(["linear", "mlp"]), st.sampled_from([1, 16]), st.integers(0, 2), rate=NUMBERS),
    st.builds(Memory, st.just(0), NAMES, st.just("linear"), NUMBERS, st.integers(1, 9)),
    st.builds(Start, st.just(0), NAMES, st.just("linear"), NUMBERS),
    st.builds(Inside, st.just(0), st.just("1 registered"), st.just("request"), NUMBERS, NUMBERS),
    st.builds(Missing, st.just(0), NAMES, st.just("mlp"), st.text(max_size=20)),
)


@given(st.lists(ROWS, max_size=12))
def test_what_is_written_is_read_again(rows: list[object]) -> None:
    document = add(empty(), *rows)  # type: ignore[arg-type]
    assert from_json(to_json(document)) == document


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 0}', '{"format": 1, "machine": {}}', '{"format": 1, "machine": 3}'])
def test_what_is_not_of_this_format_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(ValueError, match="make bench"):
        from_json(text)


def test_unknown_fields_are_refused_and_not_dropped() -> None:
    data = json.loads(to_json(add(empty(), closed("echo"))))
    data["closed"][0]["p42_us"] = 1
    with pytest.raises(ValueError, match="make bench"):
        from_json(json.dumps(data))


def test_merged_readings_replace_those_of_the_same_thing_and_keep_the_rest() -> None:
    old = add(empty(), closed("echo", rate=1), closed("echo", number=1, rate=2), closed("echo", "mlp", rate=3))
    merged = merge(old, add(empty(), closed("echo", rate=9), closed("triton", rate=8)))
    assert [(row.server, row.workload, row.rate, row.run) for row in merged.closed] == [
        ("echo", "mlp", 3, 0),
        ("echo", "linear", 9, 1),
        ("triton", "linear", 8, 1),
    ]
    assert merged.runs == (RUN, RUN)


def test_a_server_that_is_measured_at_last_is_no_longer_missing() -> None:
    old = add(empty(), Missing(0, "triton", "linear", "not installed"), Missing(0, "ray", "linear", "not installed"))
    merged = merge(old, add(empty(), closed("triton")))
    assert [row.server for row in merged.missing] == ["ray"]


def test_an_overload_that_is_measured_at_last_is_no_longer_missing_and_says_nothing_of_the_closed_loop() -> None:
    about = ("overload, mlp", "overload, linear", "mlp")
    old = add(empty(), *(Missing(0, names.OURS, what, "why") for what in about))
    assert [row.workload for row in merge(old, add(empty(), CALM)).missing] == ["overload, linear", "mlp"]


def test_readings_of_an_overload_from_before_it_told_of_connections_are_read_and_shown() -> None:
    told = json.loads(to_json(add(empty(), CALM)))
    for name in ("ok_later_p99_us", "connections", "light_connections"):
        del told["overload"][0][name]
    shown = page(from_json(json.dumps(told)))
    assert "| connections before, at most during | not told |" in shown
    assert "first second: p99 | not measured |" in shown


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"commit": "fff0000"}, "commit abc1234"),
        ({"machine": replace(empty().machine, cores=64)}, "another machine"),
    ],
)
def test_readings_of_another_commit_or_machine_are_never_mixed(change: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        merge(empty(), replace(empty(), **change))  # type: ignore[arg-type]
