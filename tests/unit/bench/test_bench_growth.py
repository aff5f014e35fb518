"""What the pure parts make of counts, and of readings as things grow in number."""

from pathlib import Path

import pytest

from tests.benchmarks.bench import names
from tests.benchmarks.bench.document import Document, Inside, Missing, Row, add, merge
from tests.benchmarks.bench.inside import PIECE, summary
from tests.benchmarks.bench.instructions import PERIODS, REPEATS, counted, totals
from tests.benchmarks.bench.page import page
from tests.benchmarks.bench.scenarios import PERIOD
from tests.benchmarks.bench.targets import verdicts
from tests.benchmarks.bench.verdict import Verdict

from .conftest import closed, empty


def about(document: Document, start: str) -> list[Verdict]:
    return [verdict for verdict in verdicts(document) if verdict.about.startswith(start)]


def test_instructions_are_shared_out_among_the_requests_of_a_period_and_what_leads_there_is_left_out() -> None:
    found = []
    for first in range(0, REPEATS * PERIODS, PERIODS):
        for each in (250, 260):
            pairs = ((PERIOD * (each + more), PERIOD * (each - 200 + more)) for more in range(first, first + PERIODS))
            found += [12_345, *(count for pair in pairs for count in pair)]
    middle = (REPEATS * PERIODS - 1) / 2
    assert middle > 0
    assert list(counted(("one", "many"), found)) == [
        Inside(0, "one", names.INSTRUCTIONS, 250, 250 + middle),
        Inside(0, "one", names.RECORDING, 50, 50 + middle),
        Inside(0, "many", names.INSTRUCTIONS, 260, 260 + middle),
        Inside(0, "many", names.RECORDING, 60, 60 + middle),
    ]


def test_too_few_counts_are_an_error_and_no_figures() -> None:
    with pytest.raises(RuntimeError, match="1 counts of"):
        list(counted(("one",), [1]))


def test_counts_are_read_in_the_order_of_the_marks_and_what_follows_the_last_is_not(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        (tmp_path / f"counted.{number}-01").write_text(f"version: 1\nevents: Ir\nsummary: {number}00\ntotals: {number}00\n")
        (tmp_path / f"counted.{number}-02").write_text("totals: 8\n")
    (tmp_path / "counted").write_text("totals: 7\n")
    assert totals(tmp_path) == [100, 900, 1000]


def counts(scenario: str, own: float, recording: float) -> list[Inside]:
    return [
        Inside(0, scenario, names.INSTRUCTIONS, own, own),
        Inside(0, scenario, names.RECORDING, recording, recording),
    ]


@pytest.mark.parametrize(("recording", "met"), [(25_000, True), (25_001, False)])
def test_five_in_a_hundred_instructions_more_are_growth_and_metrics_count(recording: float, *, met: bool) -> None:
    rows = [row for what in (names.ONE, names.IN_TURN, names.ARMS) for row in counts(what, 80_000, 20_000)]
    document = add(empty(), *rows, *counts(names.MANY, 80_000, recording))
    found = {verdict.about: verdict for verdict in verdicts(document) if "instructions" in verdict.target}
    assert {what: verdict.met for what, verdict in found.items()} == {names.MANY: met, names.IN_TURN: True, names.ARMS: True}
    assert found[names.IN_TURN].figure == "1.000 times (100,000 to 100,000; 1.000 times without metrics and log)"


def test_the_least_time_is_that_of_each_piece_and_the_median_that_of_whole_periods() -> None:
    assert PERIOD % PIECE == 0
    found = [[1.0, 30.0], [10.0, 3.0], [2.0, 20.0]]
    assert summary("one", names.REQUEST, found) == Inside(0, "one", names.REQUEST, 4e6 / PERIOD, 22e6 / PERIOD)


@pytest.mark.parametrize(("model", "told"), [([8.0, 16.0], "; the model by itself 16.0 to 8.0 us"), ([], "")])
def test_growth_in_time_is_told_beside_that_of_the_model_by_itself(model: list[float], told: str) -> None:
    rows = [Inside(0, names.ONE, names.REQUEST, 50, 50), Inside(0, names.IN_TURN_200, names.REQUEST, 60, 60)]
    rows += [Inside(0, one, names.MODEL, us, us) for one, us in zip((names.ONE, names.IN_TURN_200), model, strict=False)]
    (found,) = (one for one in verdicts(add(empty(), *rows)) if one.about == names.IN_TURN_200)
    assert (found.figure, found.met) == (f"1.20 times (60.0 to 50.0 us{told})", False)


def test_the_page_tells_a_step_from_one_to_several_from_what_goes_on_growing() -> None:
    costs = {names.ONE: 40.0, names.IN_TURN: 50.0, names.IN_TURN_200: 55.0}
    rows = [Inside(0, scenario, what, us, us) for scenario, us in costs.items() for what in (names.REQUEST, names.ROUTING)]
    shown = page(add(empty(), *rows))
    assert "50 models cost 1.25 times what 1 does (50.0 to 40.0 us), and 200 models 1.10 times what 50 do (55.0 to" in shown
    assert "models cost" not in page(add(empty(), *rows[:4]))


def test_the_page_shows_the_series_and_the_instructions_beside_those_of_one_model() -> None:
    rows = [
        Inside(0, scenario, what, figure, figure)
        for scenario, figure in ((names.ONE, 50.0), (names.IN_TURN_200, 60.0))
        for what in (names.REQUEST, names.ROUTING)
    ]
    shown = page(add(empty(), *rows, *counts(names.ONE, 2e5, 1e4), *counts(names.ARMS, 2.1e5, 2e4)))
    assert f"| {names.IN_TURN_200} | 60.0 | 1.20 | not measured |" in shown
    assert f"| {names.ARMS} | 210,000 | 1.050 | 20,000 | 2.000 | 1.095 |" in shown


def test_what_could_not_be_counted_is_no_longer_missing_once_it_is() -> None:
    rows = [Missing(0, names.OURS, what, "why") for what in (names.INSTRUCTIONS, names.GROWTH)]
    merged = merge(add(empty(), *rows), add(empty(), Inside(0, names.ONE, names.INSTRUCTIONS, 1, 1)))
    assert [row.workload for row in merged.missing] == [names.GROWTH]


def of_workers(control: float | None, *, number: int = 0, own: float = 144, echo: float = 70) -> list[Row]:
    """A round of 4 workers, beside as many gateways of one, and beside one worker; of the gateway and of the echo."""
    cpus = {"stagedoor -w 1": 100, "stagedoor -w 4": own, "echo -w 1": 50, "echo -w 4": echo}
    found = cpus if control is None else {**cpus, "4 x stagedoor -w 1": control}
    return [closed(server, names.WORKERS, 16, number, cpu_us=cpu) for server, cpu in found.items()]


@pytest.mark.parametrize(("own", "control", "met"), [(144, 144, True), (110, 100, True), (111, 100, False), (90, 100, True)])
def test_more_workers_may_cost_what_as_many_gateways_of_one_cost(own: float, control: float, *, met: bool) -> None:
    found = about(add(empty(), *of_workers(control, own=own)), "4 workers")
    assert [verdict.met for verdict in found] == [met]


def test_what_more_workers_cost_the_echo_makes_no_difference() -> None:
    found = [about(add(empty(), *of_workers(140, echo=echo)), "4 workers") for echo in (50, 500)]
    assert found[0] == found[1]


def test_workers_and_separate_gateways_are_compared_round_by_round() -> None:
    rounds = [of_workers(control, number=number, own=own) for number, (own, control) in enumerate([(100, 100), (300, 250)])]
    document = add(empty(), *(row for rows in rounds for row in rows))
    assert [verdict.figure for verdict in about(document, "4 workers")] == ["1.10 times (1.00 to 1.20; 200 to 175 us)"]


def test_readings_without_separate_gateways_say_so_and_show_the_rest() -> None:
    document = add(empty(), *of_workers(None))
    assert [verdict.figure for verdict in about(document, "4 workers")] == ["not measured: 4 x stagedoor -w 1"]
    assert [verdict.met for verdict in about(document, "2 workers")] == [None]
    row = "| 4 | not measured | 1.44 times (144 to 100 us) | 1.40 times (70 to 50 us) |"
    assert row in page(document)
    assert "| 2 |" not in page(document)


def test_the_page_shows_workers_beside_separate_gateways_and_beside_one_worker() -> None:
    row = "| 4 | 1.03 times (144 to 140 us) | 1.44 times (144 to 100 us) | 1.40 times (70 to 50 us) |"
    assert row in page(add(empty(), *of_workers(140)))
