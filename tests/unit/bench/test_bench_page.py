import re
from dataclasses import replace
from pathlib import Path

import pytest

from stagedoor import __version__
from tests.benchmarks.bench import names
from tests.benchmarks.bench.document import Missing, add, from_json
from tests.benchmarks.bench.figures import Spread
from tests.benchmarks.bench.machine import product_version
from tests.benchmarks.bench.markdown import table
from tests.benchmarks.bench.options import FULL, QUICK, choose
from tests.benchmarks.bench.page import page
from tests.benchmarks.bench.sections import losses

from .conftest import CALM, RUN, Build, closed, empty

ROOT = Path(__file__).parents[3]
SERVERS = {"triton": frozenset({"linear", "mlp"}), "kserve": frozenset({"linear"})}


def test_the_page_in_the_docs_is_what_the_readings_in_the_docs_generate() -> None:
    readings = (ROOT / "docs" / "benchmarks.json").read_text()
    assert (ROOT / "docs" / "benchmarks.md").read_text() == page(from_json(readings)), "write it anew: make bench-report"


def test_losses_are_told_with_their_figures_the_largest_first(with_rates: Build) -> None:
    assert losses(with_rates(stagedoor=100, triton=101, kserve=99, mlserver=1002)) == [
        "linear, 16 connections, requests/s: mlserver 1,002, triton 101; stagedoor 100."
    ]


def test_less_cpu_and_less_latency_than_ours_is_a_loss_too() -> None:
    rows = (closed("stagedoor"), closed("triton", cpu_us=49, p99_us=199))
    assert losses(add(empty(), *rows)) == [
        "linear, 16 connections, p99: triton 199 us; stagedoor 200 us.",
        "linear, 16 connections, CPU per request: triton 49 us; stagedoor 50 us.",
    ]


def test_the_floor_and_our_own_variants_are_no_neighbours(with_rates: Build) -> None:
    assert losses(with_rates(stagedoor=100, echo=500, stagedoor_asgi=200)) == []


def test_a_missed_target_stands_out(with_rates: Build) -> None:
    row = next(line for line in page(with_rates(stagedoor=100, triton=100)).splitlines() if "1.5 times" in line)
    assert row.endswith("| 1.00 times (100 to 100) | **MISSED** |")


def test_servers_are_listed_the_fastest_first(with_rates: Build) -> None:
    shown = page(with_rates(kserve=10, stagedoor=20, triton=30))
    rows = re.findall(r"(?m)^\| (kserve|triton|\*\*stagedoor\*\*) \| \d", shown)
    assert rows[:3] == ["triton", "**stagedoor**", "kserve"]


def test_what_was_not_measured_is_told_with_its_reason() -> None:
    shown = page(add(empty(), Missing(0, "ray", "mlp", "not installed: make bench-peers")))
    assert "| ray | mlp | not installed: make bench-peers |" in shown


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"quick": True}, "trial run"),
        ({"load": 1.5}, "busy with other work"),
        ({"stolen": 0.1}, "10% of the cores' time"),
        ({"changed": True}, "not committed"),
    ],
)
def test_doubtful_conditions_are_told_at_the_top(change: dict[str, object], warning: str) -> None:
    run = replace(RUN, **change)  # type: ignore[arg-type]
    assert warning in page(replace(empty(), runs=(run,))).split("## ")[0]
    assert "Read with care" not in page(empty())


def test_figures_of_another_run_are_marked() -> None:
    rows = [closed("stagedoor"), closed("echo"), replace(closed("triton"), run=1)]
    assert "| triton (run 2) |" in page(add(replace(empty(), runs=(RUN, RUN)), *rows))


def test_failed_requests_are_added_up_over_the_repeats() -> None:
    shown = page(add(empty(), closed("echo", failed=3), closed("echo", number=1, failed=4)))
    assert "| 50 | 7 |" in shown


def test_every_workload_gets_its_section_and_an_empty_one_none() -> None:
    assert "## Forest" in page(add(empty(), closed("mlflow", names.FOREST)))
    assert "## Forest" not in page(empty())


def test_the_overload_is_told_with_its_share_of_the_capacity_its_connections_and_its_first_second_apart() -> None:
    shown = page(add(empty(), replace(CALM, ok=850, ok_later_p99_us=2900, light_connections=64, connections=1500)))
    assert "| accepted | 850/s, 85% of the capacity |" in shown
    assert "| accepted: p50, p99 | 1.5, 3.0 ms |" in shown
    assert "first second: p99 | 2.9 ms |" in shown
    assert "| connections before, at most during | 64, 1,500 |" in shown


@pytest.mark.parametrize(("module", "kind"), [("numpy.random.mtrand", "compiled"), ("json.decoder", "interpreted")])
def test_what_was_measured_of_ours_says_whether_it_was_compiled(module: str, kind: str) -> None:
    assert product_version(module) == f"{__version__}, {kind}"
    assert product_version().startswith(f"{__version__}, ")


@pytest.mark.parametrize(
    ("values", "text"),
    [([1.0], "1"), ([3.0, 1.0, 2.0], "2 (1 to 3)"), ([1000.0, 2000.0], "1,500 (1,000 to 2,000)"), ([1.1, 1.2], "1")],
)
def test_a_spread_reads_as_median_and_range(values: list[float], text: str) -> None:
    spread = Spread.of(values)
    assert spread is not None
    assert spread.text() == text


def test_cells_cannot_break_a_table() -> None:
    assert table(["a|b"], [["c|d"]]) == "| a\\|b |\n| --- |\n| c\\|d |"


def test_servers_alone_are_measured_with_all_their_workloads_and_nothing_else() -> None:
    choice = choose(["triton"], SERVERS)
    assert (choice.parts, choice.servers) == ({"linear", "mlp"}, {"triton"})


def test_nothing_asked_for_is_everything() -> None:
    choice = choose([], SERVERS)
    assert choice.part(names.DEMO)
    assert choice.server("kserve")


def test_an_unknown_word_is_refused_with_what_is_known() -> None:
    with pytest.raises(ValueError, match=r"does not know tritom.*linear.*triton"):
        choose(["tritom"], SERVERS)


def test_the_open_loop_is_part_of_every_other_round_and_of_the_only_one() -> None:
    assert [FULL.open_seconds_in(number) for number in range(FULL.rounds)] == [2, 0, 2, 0, 2]
    assert QUICK.open_seconds_in(0) == 1
