"""What holds of the judge for all counts: against a judge that multiplies request by request, and by its algebra."""

import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from stagedoor.domain.evidence import Counts, Evidence, ShadowCounts
from stagedoor.domain.judge import START, BaseRates, Carried, carry, carry_shadow, judge, judge_shadow
from stagedoor.domain.strategy import Rules

DESIGNS = (1.25, 1.5, 2, 3, 5, 10, 30)
PARTS = (1, 2, 2, 2, 2, 1, 1)
SHARES = (0.01, 0.05, 0.25, 0.5, 0.9)

law = settings(deadline=None)  # how long an example takes is up to what else runs here
shares = st.sampled_from(SHARES)
two_shares = st.tuples(shares, shares)
mirrored = st.builds(ShadowCounts, st.integers(0, 500), st.integers(0, 50), st.just(1), st.just(2))
rules = st.builds(
    Rules,
    delta=st.sampled_from([0.0, 0.005, 0.05]),
    delta_latency=st.sampled_from([0.0, 0.01]),
    rho=st.sampled_from([0.5, 1.0, 2.0]),
    min_outcomes=st.sampled_from([0, 50]),
    min_failures=st.sampled_from([0, 3]),
)
bases = st.builds(BaseRates, st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.95]), st.sampled_from([None, 0.01, 0.2]))


@st.composite
def arm(draw: st.DrawFn, most: int = 2_000) -> Counts:
    ok, failed = draw(st.integers(0, most)), draw(st.integers(0, most // 10))
    lost = draw(st.integers(0, 5))
    return Counts(ok + failed + lost, ok, failed, draw(st.integers(0, (ok + failed) // 8)))


evidences = st.builds(lambda candidate, stable: Evidence(1, {"champion": stable, "candidate": candidate}), arm(), arm())


def best_stake(ratio: float, w: float, p0: float, rho: float, delta: float) -> float:
    """Written from the formulas alone: the stake that a numeric optimiser finds."""
    p1 = min(ratio * (rho * p0 + delta), 0.9)

    def loss(stake: float) -> float:
        return -(
            w * p1 * math.log1p(stake * (1 / w - delta))
            + (1 - w) * p0 * math.log1p(-stake * (rho / (1 - w) + delta))
            + (1 - w * p1 - (1 - w) * p0) * math.log1p(-stake * delta)
        )

    most = (1 - 1e-9) / (rho / (1 - w) + delta)
    return float(minimize_scalar(loss, bounds=(0, most), method="bounded", options={"xatol": 1e-13}).x)


def request_by_request(requests: list[tuple[bool, bool]], w: float, p0: float, rho: float, delta: float) -> tuple[float, float]:
    """The e-values against and for the candidate, one factor for each request (candidate?, bad?)."""
    stakes = [best_stake(ratio, w, p0, rho, delta) for ratio in DESIGNS]
    top = 1 / (1 / w - delta)
    lams = [top * 0.01 * (0.99 / 0.01) ** (j / 7) for j in range(8)]
    against, on = [1.0] * len(stakes), [1.0] * 8
    for candidate, bad in requests:
        x = bad * candidate / w - rho * bad * (not candidate) / (1 - w)
        against = [wealth * (1 + stake * (x - delta)) for wealth, stake in zip(against, stakes, strict=True)]
        on = [wealth * (1 - lam * (x - delta)) for wealth, lam in zip(on, lams, strict=True)]
    return sum(part * wealth for part, wealth in zip(PARTS, against, strict=True)) / sum(PARTS), sum(on) / 8


@pytest.mark.parametrize("w", [0.1, 0.5])
@pytest.mark.parametrize("delta", [0.0, 0.005])
@pytest.mark.parametrize(("p0", "p1"), [(0.01, 0.02), (0.05, 0.5), (0.1, 0.1)])
def test_counts_say_the_same_as_a_product_over_requests(w: float, delta: float, p0: float, p1: float) -> None:
    chance = random.Random(f"{w} {delta} {p0} {p1}")  # noqa: S311  a simulation
    drawn = [chance.random() < w for _ in range(800)]
    requests = [(candidate, chance.random() < (p1 if candidate else p0)) for candidate in drawn]
    candidate = [bad for chosen, bad in requests if chosen]
    stable = [bad for chosen, bad in requests if not chosen]
    evidence = Evidence(1, {name: tally(bads) for name, bads in (("candidate", candidate), ("champion", stable))})
    numbers = judge(evidence, START, Rules(delta=delta), w, BaseRates(p0, None)).numbers
    against, on = request_by_request(requests, w, p0, 1.0, delta)
    assert numbers["e_rollback"] == pytest.approx(against, rel=1e-3)
    assert numbers["e_promote"] == pytest.approx(on, rel=1e-9)


def tally(bads: list[bool]) -> Counts:
    return Counts(len(bads), len(bads) - sum(bads), sum(bads))


@law
@given(evidences, rules, shares, bases)
def test_one_more_failure_of_the_candidate_never_speaks_for_it(
    evidence: Evidence, rules: Rules, share: float, base: BaseRates
) -> None:
    candidate = evidence.of("candidate")
    more = replace(candidate, failed=candidate.failed + 1, assigned=candidate.assigned + 1)
    turned = replace(candidate, ok=max(candidate.ok - 1, 0), failed=candidate.failed + min(candidate.ok, 1))
    before = judge(evidence, START, rules, share, BaseRates(base.failures, None)).numbers
    for worse in (more, turned):
        changed = Evidence(1, {**evidence.arms, "candidate": worse})
        after = judge(changed, START, rules, share, BaseRates(base.failures, None)).numbers
        assert after["e_rollback"] >= before["e_rollback"] * (1 - 1e-9)
        assert after["e_promote"] <= before["e_promote"] * (1 + 1e-9)


@law
@given(evidences, rules, shares, bases)
def test_one_more_failure_of_the_stable_version_never_speaks_against_the_candidate(
    evidence: Evidence, rules: Rules, share: float, base: BaseRates
) -> None:
    stable = evidence.of("champion")
    changed = Evidence(
        1, {**evidence.arms, "champion": replace(stable, failed=stable.failed + 1, assigned=stable.assigned + 1)}
    )
    alone = BaseRates(base.failures, None)
    before, after = (judge(found, START, rules, share, alone).numbers for found in (evidence, changed))
    assert after["e_rollback"] <= before["e_rollback"] * (1 + 1e-9)


@law
@given(evidences, evidences, rules, shares, bases)
def test_an_epoch_cut_in_two_at_the_same_share_leaves_the_same_wealth(
    first: Evidence, second: Evidence, rules: Rules, share: float, base: BaseRates
) -> None:
    arms = ("candidate", "champion")
    pairs = {name: (first.of(name), second.of(name)) for name in arms}
    whole = Evidence(
        1,
        {
            name: Counts(a.assigned + b.assigned, a.ok + b.ok, a.failed + b.failed, a.slow + b.slow)
            for name, (a, b) in pairs.items()
        },
    )
    at_once = carry(whole, START, rules, share, base)
    cut = carry(second, carry(first, START, rules, share, base), rules, share, base)
    for one, other in zip(at_once.wealth, cut.wealth, strict=True):
        assert one.against == pytest.approx(other.against, rel=1e-9, abs=1e-9)
        assert one.on == pytest.approx(other.on, rel=1e-9, abs=1e-9)
    assert (at_once.candidate, at_once.stable) == (cut.candidate, cut.stable)


@law
@given(evidences, evidences, rules, two_shares, bases)
def test_closing_an_epoch_changes_no_number(
    first: Evidence, second: Evidence, rules: Rules, two: tuple[float, float], base: BaseRates
) -> None:
    early, late = two
    carried = carry(first, START, rules, early, base)
    open_still = judge(second, carried, rules, late, base)
    closed = judge(Evidence(9), carry(second, carried, rules, late, base), rules, 0.5, base)
    assert closed == open_still


@law
@given(evidences, evidences, rules, two_shares, bases)
def test_the_order_of_epochs_does_not_matter(
    first: Evidence, second: Evidence, rules: Rules, two: tuple[float, float], base: BaseRates
) -> None:
    early, late = two
    one = carry(second, carry(first, START, rules, early, base), rules, late, base)
    other = carry(first, carry(second, START, rules, late, base), rules, early, base)
    for a, b in zip(one.wealth, other.wealth, strict=True):
        assert a.against == pytest.approx(b.against, rel=1e-9, abs=1e-9)
    assert one.ratio == pytest.approx(other.ratio, abs=1e-6)


@law
@given(evidences, rules, st.sampled_from([0.0, 0.01, 0.5, 1.0]), bases, mirrored)
def test_carried_evidence_survives_the_ledger(
    evidence: Evidence, rules: Rules, share: float, base: BaseRates, shadow: ShadowCounts
) -> None:
    carried = carry(evidence, START, rules, share, base)
    carried = carry_shadow(shadow, carried, rules)
    assert Carried.from_json(json.loads(json.dumps(carried.to_json()))) == carried


@law
@given(evidences, rules, st.sampled_from([0.0, 0.01, 0.5, 1.0]), bases)
def test_every_verdict_is_a_sentence_and_finite_numbers(
    evidence: Evidence, rules: Rules, share: float, base: BaseRates
) -> None:
    verdict = judge(evidence, START, rules, share, base)
    assert verdict.reason.endswith(".")
    assert all(math.isfinite(value) for value in verdict.numbers.values())


@law
@given(st.integers(0, 500), st.integers(0, 50), st.integers(0, 50), st.sampled_from([0.0, 0.01, 0.2]))
def test_one_more_difference_of_a_mirrored_version_never_speaks_for_it(
    alike: int, different: int, failed: int, tolerance: float
) -> None:
    rules = Rules(tolerance=tolerance)
    before = judge_shadow(ShadowCounts(alike, different, failed), START, rules).numbers
    after = judge_shadow(ShadowCounts(alike, different + 1, failed), START, rules).numbers
    assert after["e_rollback_shadow_differences"] >= before["e_rollback_shadow_differences"] * (1 - 1e-9)
    assert after["e_promote_shadow_differences"] <= before["e_promote_shadow_differences"] * (1 + 1e-9)
