from dataclasses import replace

import pytest

from tests.benchmarks.bench import names
from tests.benchmarks.bench.document import Document, Inside, Memory, Open, Row, Start, add
from tests.benchmarks.bench.targets import verdicts
from tests.benchmarks.bench.verdict import Verdict

from .conftest import CALM, closed, empty

OURS = names.OURS


def about(document: Document, words: str) -> list[Verdict]:
    found = [verdict for verdict in verdicts(document) if words in f"{verdict.about}: {verdict.target}"]
    assert found, f"no target about {words}"
    return found


def opened(p50: float, p999: float, workload: str = names.LINEAR) -> Open:
    return Open(0, OURS, workload, 0, 0.5, 1000, 500, 500, p50, p999 / 2, p999, p999, 20, 1000, 0)


@pytest.mark.parametrize(
    ("words", "met", "missed"),
    [
        (
            "linear, 16 connections: at least 1.5 times the requests/s of triton",
            [closed(OURS, rate=150), closed("triton")],
            [closed(OURS, rate=149), closed("triton")],
        ),
        (
            "linear, 16 connections: CPU per request at most triton's",
            [closed(OURS, cpu_us=50), closed("triton")],
            [closed(OURS, cpu_us=51), closed("triton")],
        ),
        (
            "linear, 16 connections: CPU per request at most 2.2 times echo's",
            [closed(OURS, cpu_us=110), closed("echo")],
            [closed(OURS, cpu_us=111), closed("echo")],
        ),
        (
            "linear, 64 connections: p99 at most triton's",
            [closed(OURS, connections=64), closed("triton", connections=64)],
            [closed(OURS, connections=64, p99_us=201), closed("triton", connections=64)],
        ),
        (
            "linear, 1 connection: p50 at most 2 times echo's",
            [closed(OURS, connections=1, p50_us=200), closed("echo", connections=1)],
            [closed(OURS, connections=1, p50_us=201), closed("echo", connections=1)],
        ),
        (
            "forest, 16 connections: at least 50 times the requests/s of mlflow",
            [closed(OURS, "forest", rate=5000), closed("mlflow", "forest")],
            [closed(OURS, "forest", rate=4999), closed("mlflow", "forest")],
        ),
        (
            "mlp, 64 connections: at least 4 times the best other",
            [closed(OURS, "mlp", 64, rate=400), closed("kserve", "mlp", 64), closed("triton", "mlp", 64, rate=900)],
            [closed(OURS, "mlp", 64, rate=400), closed("kserve", "mlp", 64), closed("ray", "mlp", 64, rate=101)],
        ),
        (
            "mlp, 64 connections: CPU per request at most 0.3 times stagedoor-unbatched's",
            [closed(OURS, "mlp", 64, cpu_us=15), closed(names.UNBATCHED, "mlp", 64)],
            [closed(OURS, "mlp", 64, cpu_us=16), closed(names.UNBATCHED, "mlp", 64)],
        ),
        (
            "mlp, 1 connection: p50 no worse",
            [
                closed(OURS, "mlp", 1, p50_us=101),
                closed(names.UNBATCHED, "mlp", 1),
                closed(names.UNBATCHED, "mlp", 1, 1, p50_us=102),
            ],
            [
                closed(OURS, "mlp", 1, p50_us=103),
                closed(names.UNBATCHED, "mlp", 1),
                closed(names.UNBATCHED, "mlp", 1, 1, p50_us=102),
            ],
        ),
        ("linear, open loop at 50 % load", [opened(100, 1000)], [opened(100, 1001)]),
        ("mlp, open loop at 50 % load", [opened(100, 1000, "mlp")], [opened(100, 1001, "mlp")]),
        (
            "memory",
            [Memory(0, OURS, names.DEMO, 60, 3), Memory(0, "mlflow", names.LINEAR, 100, 3)],
            [Memory(0, OURS, names.DEMO, 61, 3), Memory(0, "mlflow", names.LINEAR, 100, 3)],
        ),
        (
            "start to first answer",
            [Start(0, OURS, names.RESTART, 1), Start(0, "mlflow", names.LINEAR, 3)],
            [Start(0, OURS, names.RESTART, 1), Start(0, "mlflow", names.LINEAR, 2.9)],
        ),
        (
            "routing decision, 5,000 models",
            [Inside(0, names.MANY, names.ROUTING, 1.5, 2), closed(OURS, cpu_us=50)],
            [Inside(0, names.MANY, names.ROUTING, 1.6, 2), closed(OURS, cpu_us=50)],
        ),
        (
            "routing decision: the same at 5,000",
            [Inside(0, names.MANY, names.ROUTING, 1.1, 2), Inside(0, names.ONE, names.ROUTING, 1, 2)],
            [Inside(0, names.MANY, names.ROUTING, 1.2, 2), Inside(0, names.ONE, names.ROUTING, 1, 2)],
        ),
        (
            f"{names.LOADED}: cost",
            [Inside(0, names.LOADED, names.REQUEST, 11, 20), Inside(0, names.ONE, names.REQUEST, 10, 20)],
            [Inside(0, names.LOADED, names.REQUEST, 12, 20), Inside(0, names.ONE, names.REQUEST, 10, 20)],
        ),
        ("p99 of accepted requests", [CALM], [replace(CALM, ok_p99_us=3001)]),
        ("nothing hangs", [CALM], [replace(CALM, unanswered=1)]),
        ("memory stays flat", [CALM], [replace(CALM, during_mb=111)]),
    ],
)
def test_a_target_is_met_at_its_limit_and_missed_beyond_it(words: str, met: list[Row], missed: list[Row]) -> None:
    assert [verdict.met for verdict in about(add(empty(), *met), words)] == [True]
    assert [verdict.met for verdict in about(add(empty(), *missed), words)] == [False]


def test_without_readings_no_target_is_met_and_none_is_missed() -> None:
    assert {verdict.met for verdict in verdicts(empty())} == {None}
    assert all(verdict.figure.startswith("not measured: ") for verdict in verdicts(empty()))


def test_the_median_of_the_repeats_counts() -> None:
    rows = [closed(OURS, number=number, rate=rate) for number, rate in enumerate((1, 160, 10_000))]
    rows += [closed("triton", number=number) for number in range(3)]
    assert about(add(empty(), *rows), "linear, 16 connections: at least 1.5 times")[0].figure.startswith("1.60 times")


def test_servers_are_compared_within_rounds_because_the_machine_is_faster_in_some() -> None:
    # Ours is 1.5 to 1.7 times as fast in each round, but its slow rounds are not the other's: the medians say 150 to 120.
    rows = [closed(OURS, number=number, rate=rate) for number, rate in enumerate((320, 150, 102))]
    rows += [closed("triton", number=number, rate=rate) for number, rate in enumerate((200, 100, 60))]
    rows += [closed("triton", number=number, rate=1000) for number in (3, 4)]
    found = about(add(empty(), *rows), "linear, 16 connections: at least 1.5 times")[0]
    assert (found.met, found.figure) == (True, "1.60 times (1.50 to 1.70; 150 to 200)")


def test_rounds_of_different_runs_are_not_the_same_round() -> None:
    rows = [closed(OURS, rate=150), replace(closed(OURS, rate=400), run=1), closed("triton")]
    found = about(add(empty(), *rows), "linear, 16 connections: at least 1.5 times")[0]
    assert (found.met, found.figure) == (True, "1.50 times (275 to 100)")


def test_without_a_common_round_the_medians_are_compared() -> None:
    rows = [closed(OURS, number=0, rate=140), closed(OURS, number=1, rate=150), closed("triton", number=2)]
    found = about(add(empty(), *rows), "linear, 16 connections: at least 1.5 times")[0]
    assert (found.met, found.figure) == (False, "1.45 times (145 to 100)")


def test_the_paired_ratio_carries_its_range_in_the_unit_of_what_is_compared() -> None:
    rows = [closed(OURS, number=number, cpu_us=cpu) for number, cpu in enumerate((40, 44, 46))]
    rows += [closed(server, number=number) for number in range(3) for server in ("triton", "triton-eager")]
    rows += [closed("triton-eager", number=3, cpu_us=1), closed("triton-eager", number=4, cpu_us=1)]
    found = about(add(empty(), *rows), "linear, 16 connections: CPU per request at most triton's")[0]
    assert found.figure == "0.88 times (0.80 to 0.92; 44 to 50 us)"


def test_of_two_variants_of_a_neighbour_the_better_one_is_the_target() -> None:
    rows = (
        closed(OURS, rate=150, cpu_us=50),
        closed("triton", rate=50, cpu_us=60),
        closed("triton-eager", rate=101, cpu_us=70),
    )
    document = add(empty(), *rows)
    faster = about(document, "linear, 16 connections: at least 1.5 times the requests/s of triton")[0]
    assert (faster.met, faster.figure) == (False, "1.49 times (150 to 101 of triton-eager)")
    assert about(document, "linear, 16 connections: CPU per request at most triton's")[0].figure == "0.83 times (50 to 60 us)"


def test_mlflow_with_faster_parts_is_a_target_of_its_own() -> None:
    rows = (closed(OURS, rate=5000), closed("mlflow"), closed("mlflow-fast", rate=1000))
    document = add(empty(), *rows)
    assert [verdict.met for verdict in about(document, "times the requests/s of mlflow")[:2]] == [True, False]
