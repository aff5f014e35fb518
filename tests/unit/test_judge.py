import json
import math

import pytest

from stagedoor.domain.evidence import Counts, Evidence, ShadowCounts
from stagedoor.domain.judge import START, BaseRates, Carried, Verdict, carry, judge, judge_shadow, judge_switched
from stagedoor.domain.strategy import Rules

SHIPPED = Rules()
BASE = BaseRates(0.01, 0.01)
FAILURES_ALONE = BaseRates(0.01, None)
THRESHOLDS = Rules(judge="thresholds", max_latency=0.2)


def counts(n: int, failed: int = 0, slow: int = 0) -> Counts:
    return Counts(n, n - failed, failed, slow)


def both(candidate: Counts, stable: Counts) -> Evidence:
    return Evidence(3, {"champion": stable, "candidate": candidate})


def at_tenth(candidate: Counts, stable: Counts, rules: Rules = SHIPPED, base: BaseRates = BASE) -> Verdict:
    return judge(both(candidate, stable), START, rules, 0.1, base)


@pytest.mark.parametrize("rules", [Rules(), Rules(min_outcomes=0, min_failures=0), THRESHOLDS, Rules(delta=0, delta_latency=0)])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_no_data_holds(rules: Rules, share: float) -> None:
    verdict = judge(Evidence(1), START, rules, share, BASE)
    assert verdict.kind == "hold"
    assert verdict.numbers["outcomes"] == 0


@pytest.mark.parametrize(
    ("candidate", "stable", "kind"),
    [
        pytest.param(counts(100, failed=50), counts(900, failed=9), "roll_back", id="half of them fail"),
        pytest.param(counts(100, failed=1), counts(900, failed=9), "hold", id="alike, and too few to tell"),
        pytest.param(counts(100, slow=40), counts(900, slow=9), "roll_back", id="slow and yet without a failure"),
        pytest.param(counts(40, failed=20), counts(360, failed=4), "hold", id="bad, and fewer than 50 outcomes"),
        pytest.param(counts(60, failed=2), counts(540_000), "freeze", id="shares that cannot be"),
        pytest.param(counts(9_000, failed=9, slow=90), counts(81_000, failed=81, slow=810), "promote", id="alike, and enough"),
        pytest.param(counts(100, failed=30), counts(900, failed=270), "hold", id="both suffer from the same outage"),
    ],
)
def test_evidence_leads_to_a_verdict(candidate: Counts, stable: Counts, kind: str) -> None:
    assert at_tenth(candidate, stable).kind == kind


def test_a_verdict_names_the_numbers_that_led_to_it() -> None:
    verdict = at_tenth(counts(100, failed=50), counts(900, failed=9))
    assert "50 of 100 outcomes of the candidate failed, against 9 of 900" in verdict.reason
    slow = at_tenth(counts(100, slow=40), counts(900, slow=9))
    assert "40 of 100 outcomes of the candidate were slow" in slow.reason
    assert verdict.numbers["e_rollback_failures"] > 20 > verdict.numbers["e_rollback_latency"]


def test_numbers_are_finite_json_however_strong_the_evidence() -> None:
    verdict = at_tenth(counts(100_000, failed=99_999), counts(900_000, failed=9))
    assert all(math.isfinite(value) for value in verdict.numbers.values())
    assert json.loads(json.dumps(verdict.numbers)) == verdict.numbers


def test_strong_evidence_waits_for_the_least_number_of_outcomes_and_says_how_many() -> None:
    verdict = at_tenth(counts(40, failed=20), counts(360, failed=4))
    assert verdict.numbers["e_rollback"] > 20
    assert "Waiting for 10 more outcomes" in verdict.reason


def test_two_failures_are_too_few_to_roll_back_unless_the_rule_is_off() -> None:
    lone = counts(50, failed=2), counts(4_500)
    rules = Rules(delta=0)
    at_hundredth = judge(both(*lone), START, rules, 0.0111, FAILURES_ALONE)
    assert at_hundredth.kind == "hold"
    assert at_hundredth.numbers["e_rollback"] > 20
    off = judge(both(*lone), START, Rules(delta=0, min_failures=0), 0.0111, FAILURES_ALONE)
    assert off.kind == "roll_back"


def test_five_failures_and_nothing_else_blow_the_fuse() -> None:
    assert at_tenth(counts(4, failed=4), counts(40)).kind == "hold"
    assert at_tenth(counts(5, failed=5), counts(40)).kind == "roll_back"
    assert at_tenth(counts(6, failed=5), counts(40)).kind == "hold"


def test_the_fuse_holds_while_the_stable_version_fails_as_well() -> None:
    assert at_tenth(counts(5, failed=5), counts(40, failed=30)).kind == "hold"


def test_the_fuse_remembers_outcomes_of_former_epochs() -> None:
    carried = carry(both(counts(10), counts(90)), START, Rules(), 0.1, BASE)
    assert judge(both(counts(5, failed=5), counts(45)), carried, Rules(), 0.1, BASE).kind == "hold"


def test_a_wrong_split_freezes_and_neither_promotes_nor_rolls_back() -> None:
    for failed in (0, 600):
        assert at_tenth(counts(6_000, failed=failed), counts(30_000)).kind == "freeze"


def test_assignments_are_what_the_sample_ratio_counts_not_outcomes() -> None:
    lossy = Counts(assigned=1_000, ok=500, failed=0)
    assert at_tenth(lossy, counts(9_000)).kind == "hold"


def test_outcomes_until_promotion_are_at_least_ln_20_over_the_margin() -> None:
    verdict = at_tenth(counts(599), counts(5_391), Rules(beta=0.5), FAILURES_ALONE)
    assert verdict.numbers["outcomes_needed"] == math.ceil(math.log(2) / 0.005)
    assert at_tenth(counts(1), counts(9)).numbers["outcomes_needed"] == 600


def test_a_version_that_is_plainly_better_still_needs_its_least_number_of_outcomes() -> None:
    verdict = at_tenth(counts(500), counts(4_500, failed=900), base=FAILURES_ALONE)
    assert verdict.numbers["e_promote"] > 20
    assert verdict.kind == "hold"
    assert "Waiting for 100 more outcomes" in verdict.reason
    assert at_tenth(counts(600), counts(5_400, failed=900), base=FAILURES_ALONE).kind == "promote"


def test_with_no_margin_an_equal_version_is_never_promoted_and_a_better_one_is() -> None:
    none = Rules(delta=0, delta_latency=0)
    equal = at_tenth(counts(10**6, failed=10**4), counts(9 * 10**6, failed=9 * 10**4), none, FAILURES_ALONE)
    better = at_tenth(counts(10**5, failed=10), counts(9 * 10**5, failed=9 * 10**3), none, FAILURES_ALONE)
    assert (equal.kind, better.kind) == ("hold", "promote")


def test_every_guard_must_be_shown_no_worse_before_a_promotion() -> None:
    slower = at_tenth(counts(9_000, failed=9, slow=180), counts(81_000, failed=81, slow=810))
    assert slower.numbers["e_promote_failures"] > 20 > slower.numbers["e_promote_latency"]
    assert slower.kind != "promote"
    assert slower.numbers["e_promote"] == slower.numbers["e_promote_latency"]


def test_the_wealth_is_divided_between_the_guards_that_are_there() -> None:
    evidence = counts(100, failed=20), counts(900, failed=9)
    one, two = at_tenth(*evidence, base=FAILURES_ALONE).numbers, at_tenth(*evidence).numbers
    assert one["e_rollback"] == pytest.approx(one["e_rollback_failures"])
    assert "e_rollback_latency" not in one
    assert two["e_rollback"] == pytest.approx(0.625 * two["e_rollback_failures"] + 0.375 * two["e_rollback_latency"])


def test_the_guards_of_a_rollout_are_those_it_began_with() -> None:
    begun_with_one = carry(both(counts(10), counts(90)), START, Rules(), 0.1, FAILURES_ALONE)
    later = judge(both(counts(100, slow=90), counts(900)), begun_with_one, Rules(), 0.1, BASE)
    assert "e_rollback_latency" not in later.numbers
    begun_with_two = carry(both(counts(100, slow=30), counts(900)), START, Rules(), 0.1, BASE)
    kept = judge(Evidence(4), begun_with_two, Rules(), 0.1, FAILURES_ALONE)
    assert kept.numbers["e_rollback_latency"] == pytest.approx(begun_with_two.of("latency").e_against)


def test_an_epoch_with_all_requests_on_the_candidate_adds_no_evidence() -> None:
    carried = carry(both(counts(100, failed=5), counts(900, failed=9)), START, Rules(), 0.1, BASE)
    whole = judge(both(counts(5_000, failed=50), Counts()), carried, Rules(), 1.0, BASE)
    assert whole.numbers["e_rollback"] == pytest.approx(judge(Evidence(4), carried, Rules(), 0.1, BASE).numbers["e_rollback"])


def test_drifting_predictions_hold_a_promotion_and_nothing_else() -> None:
    good = both(counts(9_000, failed=9, slow=90), counts(81_000, failed=81, slow=810))
    assert judge(good, START, Rules(), 0.1, BASE, drift=999.0).kind == "promote"
    drifting = judge(good, START, Rules(), 0.1, BASE, drift=1001.0)
    assert drifting.kind == "hold"
    assert "drift" in drifting.reason
    bad = both(counts(100, failed=50), counts(900, failed=9))
    assert judge(bad, START, Rules(), 0.1, BASE, drift=1001.0).kind == "roll_back"


def test_other_names_of_arms_are_understood() -> None:
    evidence = Evidence(1, {"live": counts(900, failed=9), "new": counts(100, failed=50)})
    verdict = judge(evidence, START, Rules(), 0.1, BASE, stable_arm="live", candidate_arm="new")
    assert verdict.kind == "roll_back"


@pytest.mark.parametrize(
    ("candidate", "kind"),
    [
        (counts(49), "hold"),
        (counts(50), "promote"),
        (counts(100, failed=5), "promote"),
        (counts(100, failed=6), "roll_back"),
        (counts(40, failed=20), "hold"),
        (counts(400, slow=4), "promote"),
        (counts(400, slow=5), "roll_back"),
        (counts(5, failed=5), "roll_back"),
    ],
)
def test_thresholds_look_at_one_arm_alone(candidate: Counts, kind: str) -> None:
    assert at_tenth(candidate, Counts(candidate.outcomes * 9, candidate.outcomes * 9), THRESHOLDS).kind == kind


def test_thresholds_promote_on_no_broken_split_and_still_roll_back() -> None:
    assert at_tenth(counts(6_000), counts(30_000), THRESHOLDS).kind == "freeze"
    assert at_tenth(counts(6_000, failed=3_000), counts(30_000), THRESHOLDS).kind == "roll_back"


@pytest.mark.parametrize(
    ("found", "elapsed", "kind"),
    [
        (counts(0), 600, "hold"),
        (counts(60), 59, "hold"),
        (counts(60), 60, "promote"),
        (counts(49), 600, "hold"),
        (counts(60, failed=30), 1, "roll_back"),
        (counts(5, failed=5), 0, "roll_back"),
        (counts(60, slow=30), 60, "promote"),
    ],
)
def test_a_switched_version_bakes_before_it_counts_as_promoted(found: Counts, elapsed: float, kind: str) -> None:
    assert judge_switched(found, Rules(), elapsed=elapsed, bake=60).kind == kind


def test_a_switched_version_without_data_holds_even_if_no_least_number_is_asked_for() -> None:
    rules = Rules(min_outcomes=0, min_failures=0)
    assert judge_switched(Counts(), rules, elapsed=600, bake=60).kind == "hold"
    assert judge_switched(counts(1), rules, elapsed=600, bake=60).kind == "promote"


def test_a_switched_version_is_slow_only_by_a_stated_bound() -> None:
    verdict = judge_switched(counts(60, slow=30), Rules(max_latency=0.1), elapsed=60, bake=60)
    assert verdict.kind == "roll_back"
    assert "0.1 s" in verdict.reason


@pytest.mark.parametrize(
    ("shadow", "rules", "kind"),
    [
        (ShadowCounts(), Rules(), "hold"),
        (ShadowCounts(dropped=5_000), Rules(), "hold"),
        (ShadowCounts(agreed=200), Rules(), "hold"),
        (ShadowCounts(agreed=5_000, disagreed=5), Rules(), "promote"),
        (ShadowCounts(agreed=500, disagreed=30), Rules(), "roll_back"),
        (ShadowCounts(agreed=500, failed=20), Rules(), "roll_back"),
        (ShadowCounts(agreed=20, disagreed=20), Rules(), "hold"),
        (ShadowCounts(failed=5), Rules(), "roll_back"),
        (ShadowCounts(agreed=5_000, disagreed=3), Rules(tolerance=0), "roll_back"),
        (ShadowCounts(agreed=5_000), Rules(tolerance=0), "hold"),
        (ShadowCounts(agreed=10, disagreed=5_000), Rules(tolerance=1), "promote"),
        (ShadowCounts(agreed=500, disagreed=4), THRESHOLDS, "promote"),
        (ShadowCounts(agreed=500, disagreed=6), THRESHOLDS, "roll_back"),
        (ShadowCounts(agreed=49), THRESHOLDS, "hold"),
    ],
)
def test_a_mirrored_version_is_judged_by_its_deviations(shadow: ShadowCounts, rules: Rules, kind: str) -> None:
    verdict = judge_shadow(shadow, START, rules)
    assert verdict.kind == kind
    assert all(math.isfinite(value) for value in verdict.numbers.values())


def test_a_failed_answer_differs_as_well() -> None:
    numbers = judge_shadow(ShadowCounts(agreed=300, failed=10), START, Rules()).numbers
    differing = judge_shadow(ShadowCounts(agreed=300, disagreed=10), START, Rules()).numbers
    assert numbers["e_rollback_shadow_differences"] == differing["e_rollback_shadow_differences"]
    assert numbers["e_rollback_shadow_failures"] > differing["e_rollback_shadow_failures"]
    both_guards = numbers["e_rollback_shadow_differences"] + numbers["e_rollback_shadow_failures"]
    assert numbers["e_rollback"] == pytest.approx(both_guards / 2)


def test_a_mirrored_version_may_fail_as_often_as_the_stable_one_does() -> None:
    pairs = ShadowCounts(agreed=9_800, failed=200)
    rules = Rules(tolerance=0.05)
    assert judge_shadow(pairs, START, rules).kind == "roll_back"
    assert judge_shadow(pairs, START, rules, BaseRates(0.02, None)).kind == "promote"


@pytest.mark.parametrize(
    "damage", [("wealth", {"failures": [[0.0], [0.0]]}), ("candidate", {"assigned": -1}), ("shadow", {"pairs": 1})]
)
def test_carried_evidence_of_another_make_is_refused(damage: tuple[str, object]) -> None:
    key, value = damage
    with pytest.raises((ValueError, KeyError, TypeError)):
        Carried.from_json({**START.to_json(), key: value})
