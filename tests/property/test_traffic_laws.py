import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagedoor.domain.traffic import WHOLE, Arm, Route, Sticky, TrafficPolicy, assign, bucket_of, salt_for
from stagedoor.errors import InvalidTag

salts = st.binary(min_size=16, max_size=16)
units = st.binary(max_size=40)
aliases = st.from_regex(r"[a-zA-Z_][\w\-]{0,20}", fullmatch=True).filter(
    lambda text: text.lower() != "latest" and not (text[0] in "vV" and text[1:].isdigit())
)


@st.composite
def shares(draw: st.DrawFn) -> tuple[int, ...]:
    cuts = sorted(draw(st.lists(st.integers(0, WHOLE), max_size=4)))
    edges = [0, *cuts, WHOLE]
    return tuple(high - low for low, high in itertools.pairwise(edges))


@st.composite
def routes(draw: st.DrawFn) -> Route:
    weights = draw(shares())
    arms = tuple(Arm(f"arm{n}", str(n + 1), weight) for n, weight in enumerate(weights))
    return Route(draw(st.integers(0, 10)), arms, draw(salts))


def two(weight: int, salt: bytes) -> Route:
    return Route(1, (Arm("champion", "1", WHOLE - weight), Arm("challenger", "2", weight)), salt)


@given(weights=shares(), names=st.lists(aliases, min_size=5, max_size=5, unique=True))
def test_a_policy_written_in_basis_points_reads_back(weights: tuple[int, ...], names: list[str]) -> None:
    pairs = tuple(zip(names, weights, strict=False))
    policy = TrafficPolicy.parse(",".join(f"{alias}={weight}" for alias, weight in pairs))
    # Shares that happen to add up to 100 would be percent; these add up to 10,000.
    assert policy.weights == pairs
    assert sum(weight for _, weight in policy.weights) == WHOLE


@given(st.integers(0, 100))
def test_percent_and_basis_points_mean_the_same(percent: int) -> None:
    in_percent = TrafficPolicy.parse(f"champion={100 - percent}, challenger = {percent}")
    in_points = TrafficPolicy.parse(f"champion={(100 - percent) * 100},challenger={percent * 100}")
    assert in_percent == in_points


@given(st.integers(-200_000, 200_000), st.integers(-200_000, 200_000))
def test_shares_that_do_not_add_up_are_refused(first: int, second: int) -> None:
    good = first >= 0 and second >= 0 and first + second in {100, WHOLE}
    text = f"champion={first},challenger={second}"
    if good:
        assert sum(weight for _, weight in TrafficPolicy.parse(text).weights) == WHOLE
    else:
        with pytest.raises(InvalidTag):
            TrafficPolicy.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_policy_or_an_invalid_tag(text: str) -> None:
    try:
        policy = TrafficPolicy.parse(text)
    except InvalidTag:
        return
    assert sum(weight for _, weight in policy.weights) == WHOLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "champion",
        "champion=",
        "=100",
        "champion=100,",
        "champion=90;challenger=10",
        "champion=50,champion=50",
        "champion=99.999,challenger=0.001",
        "champion=NaN",
        "champion=sNaN",
        "champion=Infinity",
        "champion=1e999999999",
        "champion=-1e999999999,challenger=1e999999999",
        "latest=100",
        "v1=100",
        "champion=110,challenger=-10",
        "champion=100,challenger=9900.5",
    ],
)
def test_malformed_policies_are_refused_with_advice(text: str) -> None:
    with pytest.raises(InvalidTag) as caught:
        TrafficPolicy.parse(text)
    assert caught.value.reason


@given(routes(), units)
def test_every_unit_falls_to_an_arm_with_a_share(route: Route, unit: bytes) -> None:
    chosen = assign(route, unit).arm
    assert chosen in route.arms
    assert chosen.weight > 0


@given(route=routes(), unit=units, epoch=st.integers(0, 99), reason=st.text(max_size=5))
def test_assignment_depends_on_salt_arms_and_unit_alone(route: Route, unit: bytes, epoch: int, reason: str) -> None:
    same = Route(epoch, route.arms, route.salt, Sticky("claim", "sub"), reason)
    assert assign(route, unit) == assign(same, unit)


@given(salt=salts, unit=units, low=st.integers(0, WHOLE), high=st.integers(0, WHOLE))
def test_ramping_up_never_moves_a_unit_back(salt: bytes, unit: bytes, low: int, high: int) -> None:
    low, high = min(low, high), max(low, high)
    if assign(two(low, salt), unit).arm.version == "2":
        assert assign(two(high, salt), unit).arm.version == "2"


@given(salt=salts, weight=st.integers(0, WHOLE))
def test_the_share_of_units_converges_to_the_weight(salt: bytes, weight: int) -> None:
    route = two(weight, salt)
    total = 4000
    got = Counter(assign(route, n.to_bytes(4, "big")).arm.version for n in range(total))["2"] / total
    assert abs(got - weight / WHOLE) < 6 * 0.5 / total**0.5


@given(salts, units)
def test_buckets_are_basis_points(salt: bytes, unit: bytes) -> None:
    assert 0 <= bucket_of(salt, unit) < WHOLE


def test_a_known_unit_falls_to_a_known_bucket() -> None:
    """Fixed for ever: another value would move every sticky caller at an upgrade."""
    assert bucket_of(salt_for("fraud", ("3",)), b"user-1") == 1751


@given(st.text(max_size=10), st.lists(st.from_regex(r"[1-9][0-9]?", fullmatch=True), max_size=3, unique=True))
def test_the_salt_depends_on_the_candidates_and_not_on_their_order(model: str, candidates: list[str]) -> None:
    assert salt_for(model, tuple(candidates)) == salt_for(model, tuple(reversed(candidates)))
    assert salt_for(model, tuple(candidates)) != salt_for(model, (*candidates, "1000"))


@given(st.text(max_size=40))
def test_any_text_is_a_sticky_rule_or_an_invalid_tag(text: str) -> None:
    try:
        sticky = Sticky.parse(text)
    except InvalidTag:
        return
    assert Sticky.parse(str(sticky)) == sticky


@pytest.mark.parametrize("weights", [(), (WHOLE + 1,), (5000, 4999), (WHOLE + 1, -1)])
def test_no_route_exists_whose_weights_do_not_add_up(weights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="add up"):
        Route(1, tuple(Arm(str(n), str(n), weight) for n, weight in enumerate(weights)), b"s")
