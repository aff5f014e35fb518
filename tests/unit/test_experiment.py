"""The A/B report: what it says of numbers that are known."""

import json
import random

import pytest

from registry_hooks.experiment import report
from stagedoor.domain.evidence import Counts, Evidence
from stagedoor.domain.traffic import Arm, Route, Sticky


def _route(*arms: tuple[str, str, int], sticky: str | None = None) -> Route:
    found = tuple(Arm(*arm) for arm in (arms or (("champion", "7", 9000), ("challenger", "8", 1000))))
    return Route(5, found, b"salt", Sticky.parse(sticky) if sticky else None)


def _counts(n: int, failed: int) -> Counts:
    return Counts(assigned=n, ok=n - failed, failed=failed)


def test_a_split_without_outcomes_says_to_wait() -> None:
    found = report("fraud", _route(), None)
    assert found["arms"][0]["rate"] is None
    assert found["arms"][1]["difference"]["value"] is None
    assert found["ratio"] == {"e_value": 1.0, "alarm": False}
    assert "Wait for requests" in found["advice"]
    json.dumps(found, allow_nan=False)


def test_a_worse_arm_is_named_with_its_interval() -> None:
    evidence = Evidence(5, {"champion": _counts(9000, 90), "challenger": _counts(1000, 80)})
    found = report("fraud", _route(sticky="header:X-User-Id"), evidence)
    row = found["arms"][1]
    assert found["unit"] == "users"
    assert found["sticky"] == "header:X-User-Id"
    assert row["rate"] == 0.08
    assert row["difference"]["value"] == pytest.approx(0.07)
    assert 0 < row["difference"]["low"] < 0.07 < row["difference"]["high"]
    assert "challenger (version 8) fails more often than champion" in found["advice"]
    assert not found["ratio"]["alarm"]


def test_a_better_arm_can_take_over() -> None:
    evidence = Evidence(5, {"champion": _counts(9000, 900), "challenger": _counts(1000, 10)})
    assert "can take over" in report("fraud", _route(), evidence)["advice"]


def test_arms_that_are_alike_cannot_be_told_apart() -> None:
    evidence = Evidence(5, {"champion": _counts(900, 9), "challenger": _counts(100, 1)})
    assert "cannot be told apart yet" in report("fraud", _route(), evidence)["advice"]


def test_a_split_that_is_not_as_it_was_meant_forbids_any_comparison() -> None:
    evidence = Evidence(5, {"champion": _counts(8000, 80), "challenger": _counts(2000, 400)})
    found = report("fraud", _route(), evidence)
    assert found["ratio"]["alarm"]
    assert "cannot be compared" in found["advice"]


def test_several_comparisons_share_the_error_between_them() -> None:
    three = _route(("champion", "7", 5000), ("a", "8", 2500), ("b", "9", 2500))
    two = _route(("champion", "7", 5000), ("a", "8", 5000))
    counts = {"champion": _counts(500, 5), "a": _counts(250, 5), "b": _counts(250, 5)}
    wide = report("fraud", three, Evidence(5, counts))["arms"][1]["difference"]
    narrow = report("fraud", two, Evidence(5, counts))["arms"][1]["difference"]
    assert wide["low"] < narrow["low"]
    assert narrow["high"] < wide["high"]


def test_identical_arms_looked_at_all_the_time_are_seldom_told_apart() -> None:
    draw = random.Random(11)  # noqa: S311  no secret
    route = _route(("champion", "7", 5000), ("challenger", "8", 5000))
    wrong = 0
    for _ in range(60):
        n, failed = [0, 0], [0, 0]
        for look in range(20):
            for _ in range(50):
                arm = draw.random() < 0.5
                n[arm] += 1
                failed[arm] += draw.random() < 0.1
            evidence = Evidence(5, {"champion": _counts(n[0], failed[0]), "challenger": _counts(n[1], failed[1])})
            interval = report("fraud", route, evidence)["arms"][1]["difference"]
            if not interval["low"] <= 0 <= interval["high"]:
                wrong += 1
                break
            assert look < 20
    assert wrong <= 5
