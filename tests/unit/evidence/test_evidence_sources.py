"""One suite over both sources of evidence: the gateways themselves, and a Prometheus server."""

from typing import Any

import pytest

from stagedoor.domain.evidence import Counts, ShadowCounts
from stagedoor.errors import EvidenceUnavailable


def test_counts_of_all_gateways_are_added_by_epoch_and_arm(world: Any) -> None:
    world.gateways[0].count("champion", version="7", ok=90, model_error=1)
    world.gateways[0].count("candidate", ok=9, timeout=1)
    world.gateways[1].count("candidate", ok=4, invalid_output=2)
    world.gateways[1].count("candidate", epoch="13", ok=5)
    found = world.read()
    assert found[12].of("champion") == Counts(91, 90, 1)
    assert found[12].of("candidate") == Counts(16, 13, 3)
    assert found[13].of("candidate") == Counts(5, 5, 0)
    assert found[13].of("champion") == Counts()
    assert found[12].epoch == 12


def test_the_callers_errors_overload_and_our_own_are_no_outcomes(world: Any) -> None:
    world.gateway.count(ok=1, client_error=5, overload=3, internal_error=2)
    assert world.read()[12].of("candidate") == Counts(assigned=11, ok=1, failed=0)


def test_requests_outside_a_watched_route_are_no_evidence(world: Any) -> None:
    world.gateway.count(epoch="", ok=100, model_error=100)
    assert world.read() == {}


def test_slow_answers_are_counted_beside_the_others(world: Any) -> None:
    world.gateway.count(ok=10)
    world.gateway.slow(4)
    assert world.read()[12].of("candidate") == Counts(assigned=10, ok=10, slow=4)


def test_a_sticky_split_counts_users_and_not_requests(world: Any) -> None:
    world.gateway.count("champion", version="7", ok=500)
    world.gateway.count("challenger", ok=400, model_error=100)
    world.gateway.users("champion", "7", ok=50)
    world.gateway.users("challenger", "8", ok=48, failed=2)
    found = world.read()[12]
    assert found.of("champion") == Counts(50, 50, 0)
    assert found.of("challenger") == Counts(50, 48, 2)


def test_mirrored_requests_are_counted_apart(world: Any) -> None:
    world.gateway.shadow(agree=80, disagree=3, model_error=2, invalid_output=1, timeout=1, dropped=9)
    found = world.read()[12]
    assert found.shadow == ShadowCounts(agreed=80, disagreed=3, failed=4, dropped=9)
    assert not found.arms


def test_a_restarted_gateway_takes_nothing_away(world: Any) -> None:
    world.gateway.count(ok=10, model_error=2)
    world.gateways[1].count(ok=1)
    world.read()
    world.gateway.restart()
    world.gateway.count(ok=3)
    assert world.read()[12].of("candidate") == Counts(assigned=16, ok=14, failed=2)
    assert world.read()[12].of("candidate") == Counts(assigned=16, ok=14, failed=2)


def test_a_restart_that_leaves_no_series_at_all_takes_nothing_away(world: Any) -> None:
    world.gateway.count(ok=10)
    world.read()
    world.gateway.restart()
    assert world.read()[12].of("candidate").ok == 10
    world.gateway.count(ok=12)
    assert world.read()[12].of("candidate").ok == 22


def test_a_request_without_outcome_by_the_deadline_has_failed(world: Any) -> None:
    world.gateway.count(ok=5, lost=3)
    assert world.read()[12].of("candidate") == Counts(assigned=8, ok=5)
    assert world.read(9)[12].of("candidate").failed == 0
    assert world.read(1.5)[12].of("candidate") == Counts(assigned=8, ok=5, failed=3, slow=3)


def test_a_late_outcome_is_not_counted_as_lost(world: Any) -> None:
    world.gateway.count(lost=3)
    world.read()
    world.gateway.count(ok=3, lost=-3)
    assert world.read(20)[12].of("candidate") == Counts(assigned=3, ok=3)


def test_what_was_on_the_way_when_a_gateway_restarted_is_not_charged(world: Any) -> None:
    world.gateway.count(ok=5, lost=3)
    world.read()
    world.gateway.restart()
    world.gateway.count(ok=1)
    world.read(20)
    assert world.read(20)[12].of("candidate") == Counts(assigned=9, ok=6)


def test_a_silent_gateway_makes_evidence_unavailable_and_leaves_what_is_known(world: Any) -> None:
    world.gateways[0].count(ok=5)
    world.gateways[1].count(model_error=4)
    world.read()
    world.gateways[1].alive = False
    world.gateways[0].count(model_error=1)
    with pytest.raises(EvidenceUnavailable) as caught:
        world.read()
    assert caught.value.partial["fraud"][12].of("candidate") == Counts(assigned=10, ok=5, failed=5)
    world.gateways[1].alive = True
    assert world.read()[12].of("candidate").failed == 5


def test_without_any_answer_there_is_no_evidence(world: Any) -> None:
    world.gateway.alive = world.gateways[1].alive = world.prometheus.alive = False
    with pytest.raises(EvidenceUnavailable):
        world.read()
    with pytest.raises(EvidenceUnavailable):
        world.source.stable_p99("fraud", "7")


def test_the_99th_percentile_is_that_of_all_gateways_within_its_bucket(world: Any) -> None:
    world.gateways[0].took(0.004, 500)
    world.gateways[1].took(0.004, 480)
    world.gateways[1].took(0.06, 20)
    # Half of the twenty in the bucket from 0.05 to 0.075 lie below the 990th.
    assert world.p99() == pytest.approx(0.0625)


def test_a_percentile_of_too_few_requests_is_none(world: Any) -> None:
    world.gateway.took(0.004, 99)
    assert world.p99() is None


def test_models_that_nobody_asks_about_are_left_out(world: Any) -> None:
    world.gateway.count(ok=5)
    world.read()
    assert "fraud" not in world.source.read(["churn"], world.now)
