"""The judge's promises, by simulation: few false rollbacks whatever happens to traffic, and which conditions void that."""

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from stagedoor.domain.evidence import Counts, Evidence
from stagedoor.domain.judge import START, BaseRates, bets, judge
from stagedoor.domain.strategy import Rules

TUNED = Rules(delta=0, delta_latency=0, min_outcomes=0, min_failures=0)
BOUND = 20.0
SIMULATION = Path(__file__).resolve().parents[1] / "benchmarks" / "judge_simulation.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    """The benchmark's own simulation."""
    spec = importlib.util.spec_from_file_location("judge_simulation", SIMULATION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def evidence(bad: Any, stable_bad: Any, n: Any, stable_n: Any, *, slow: bool = False) -> Evidence:
    def arm(total: Any, bads: Any) -> Counts:
        total, bads = int(total), int(bads)
        return Counts(total, total, 0, bads) if slow else Counts(total, total - bads, bads)

    return Evidence(1, {"candidate": arm(n, bad), "champion": arm(stable_n, stable_bad)})


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("delta", [0.0, 0.005])
def test_the_simulation_bets_as_the_judge_does(simulation: ModuleType, share: float, delta: float) -> None:
    rng = np.random.default_rng(3)
    case = simulation.Case(0.02, 0.05, share, delta=delta)
    rules = replace(TUNED, delta=delta)
    counts = np.column_stack((rng.integers(0, 30, 50), rng.integers(0, 30, 50), rng.integers(100, 2_000, 50))).astype(float)
    against = simulation.e_values(counts, case.payoffs, case.stakes, bets.PRIOR)
    on = simulation.e_values(counts, case.payoffs, np.array(bets.promote_stakes(case.payoffs)), bets.PROMOTE_PRIOR)
    for row, e_rollback, e_promote in zip(counts, against, on, strict=True):
        bad, stable_bad, good = row
        found = evidence(bad, stable_bad, bad + good // 3, stable_bad + good - good // 3)
        numbers = judge(found, START, rules, share, BaseRates(0.02, None)).numbers
        assert numbers["e_rollback"] == pytest.approx(e_rollback, rel=1e-9)
        assert numbers["e_promote"] == pytest.approx(e_promote, rel=1e-9)


def test_the_simulation_stops_where_a_look_at_every_request_stops(simulation: ModuleType) -> None:
    case = simulation.Case(0.1, 0.4, 0.5, delta=0.005, min_outcomes=10, min_failures=3)
    rules = Rules(min_outcomes=10)
    rng = np.random.default_rng(4)
    stops = [one_rollout(case, rules, rng) for _ in range(150)]
    many = simulation.rollbacks(case, 4_000, seed=5)
    error = math.hypot(np.std(stops) / len(stops) ** 0.5, many.std() / many.size**0.5)
    assert np.mean(stops) == pytest.approx(many.mean(), abs=4 * error)


def one_rollout(case: Any, rules: Rules, rng: np.random.Generator) -> int:
    """One request after the other, until the bound is reached with enough evidence."""
    bad, n = [0, 0], [0, 0]
    while True:
        arm = int(rng.random() >= case.share)
        n[arm] += 1
        bad[arm] += rng.random() < (case.candidate, case.stable)[arm]
        if n[0] < rules.min_outcomes or bad[0] < rules.min_failures:
            continue
        found = judge(evidence(*bad, *n), START, rules, case.share, BaseRates(case.stable, None))
        if found.numbers["e_rollback"] >= BOUND:
            return n[0]


@pytest.mark.parametrize(("rate", "share", "delta"), [(0.001, 0.1, 0), (0.01, 0.5, 0), (0.1, 0.5, 0), (0.1, 0.1, 0.005)])
def test_an_equal_version_is_rarely_rolled_back_however_often_one_looks(
    simulation: ModuleType, rate: float, share: float, delta: float
) -> None:
    stops = simulation.rollbacks(simulation.Case(rate, rate, share, delta=delta), 1_500, seed=6, horizon=3_000)
    assert np.isfinite(stops).mean() <= 0.05


def test_the_bound_holds_with_a_base_rate_that_was_known_wrongly(simulation: ModuleType) -> None:
    for known in (0.0001, 0.5):
        case = simulation.Case(0.02, 0.02, 0.25, delta=0.005, known=known)
        assert np.isfinite(simulation.rollbacks(case, 1_500, seed=7, horizon=3_000)).mean() <= 0.05


def test_a_version_worse_by_the_margin_is_rarely_promoted(simulation: ModuleType) -> None:
    case = simulation.Case(0.01, 0.02, 0.5, delta=0.01)
    assert np.isfinite(simulation.promotions(case, 1_000, seed=8, horizon=10_000)).mean() <= 0.05


def test_the_bound_holds_over_epochs_of_other_shares_while_the_rates_of_both_swing() -> None:
    rng = np.random.default_rng(9)
    runs = 2_000
    logs = np.zeros((runs, len(bets.DESIGNS)))
    highest = np.zeros(runs)
    for step, share in enumerate((0.01, 0.05, 0.25, 0.5, 0.1, 0.5)):
        pays = bets.payoffs(share, 1.0, 0.0)
        growth = np.log1p(np.outer(pays, bets.stakes(share, 0.01, 1.0, 0.0)))
        for look in range(100):
            rate = 0.3 if (step + look // 10) % 2 else 0.01
            candidate = rng.binomial(20, share, runs)
            bad, stable_bad = rng.binomial(candidate, rate), rng.binomial(20 - candidate, rate)
            logs += np.column_stack((bad, stable_bad, 20 - bad - stable_bad)) @ growth
            highest = np.maximum(highest, np.exp(logs) @ np.array(bets.PRIOR))
    assert 0.005 <= (highest >= BOUND).mean() <= 0.05


def test_counting_requests_of_sticky_users_voids_the_bound_and_first_outcomes_keep_it() -> None:
    """One user in twenty fails one request in five, always the same users: requests are not what was drawn."""
    rng = np.random.default_rng(10)
    by_request, by_user = 0, 0
    runs, users, each, share = 400, 600, 20, 0.5
    pays = bets.payoffs(share, 1.0, 0.0)
    growth = np.log1p(np.outer(pays[:2], bets.stakes(share, 0.01, 1.0, 0.0)))
    for _ in range(runs):
        candidate = rng.random(users) < share
        rates = np.where(rng.random(users) < 0.05, 0.2, 0.0)
        who = rng.permutation(np.repeat(np.arange(users), each))
        failed = rng.random(who.size) < rates[who]
        first = np.zeros(who.size, bool)
        first[np.unique(who, return_index=True)[1]] = True
        by_request += peak(candidate[who][failed], growth) >= BOUND
        by_user += peak(candidate[who][failed & first], growth) >= BOUND
    assert by_request / runs > 0.1
    assert by_user / runs <= 0.05


def peak(candidate_failed: np.ndarray, growth: np.ndarray) -> float:
    """The highest e-value over failures in their order; nothing else moves it without a margin."""
    if not candidate_failed.size:
        return 1.0
    logs = np.cumsum(np.column_stack((candidate_failed, ~candidate_failed)) @ growth, axis=0)
    return float((np.exp(logs) @ np.array(bets.PRIOR)).max())


def test_slow_requests_of_a_cold_candidate_would_roll_it_back_so_they_are_left_out() -> None:
    base = BaseRates(0.01, 0.01)
    cold = judge(evidence(80, 7, 80, 720, slow=True), START, Rules(), 0.1, base)
    warm = judge(evidence(1, 7, 80, 720, slow=True), START, Rules(), 0.1, base)
    assert (cold.kind, warm.kind) == ("roll_back", "hold")


def test_a_split_other_than_the_route_says_is_noticed_before_it_makes_a_version_look_worse() -> None:
    """12 % get the candidate where the judge was told 10 %: both are equal, and fail in 4 % of requests."""
    rng = np.random.default_rng(11)
    ends, fooled = {"freeze": 0, "roll_back": 0, "hold": 0}, 0
    runs, look, looks = 120, 500, 60
    for _ in range(runs):
        candidate = rng.binomial(look, 0.12, looks).cumsum()
        stable = np.arange(1, looks + 1) * look - candidate
        bad = rng.binomial(np.diff(candidate, prepend=0), 0.04).cumsum()
        stable_bad = rng.binomial(np.diff(stable, prepend=0), 0.04).cumsum()
        verdicts = [
            judge(evidence(*row), START, TUNED, 0.1, BaseRates(0.04, None))
            for row in zip(bad, stable_bad, candidate, stable, strict=True)
        ]
        ends[next((v.kind for v in verdicts if v.kind in {"freeze", "roll_back"}), "hold")] += 1
        fooled += any(v.numbers["e_rollback"] >= BOUND for v in verdicts)
    assert fooled / runs > 0.2
    assert ends["roll_back"] / runs <= 0.05
    assert ends["freeze"] / runs > 0.9
