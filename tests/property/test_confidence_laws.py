import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, xlog1py, xlogy

from stagedoor.domain.confidence import difference_interval, log_ratio, ratio_alarm

law = settings(deadline=None)  # how long an example takes is up to what else runs here


@st.composite
def rates(draw: st.DrawFn, most: int = 10**6) -> tuple[int, int]:
    n = draw(st.integers(0, most))
    return n, draw(st.integers(0, n))


def test_the_ratio_is_the_product_of_predictions_over_shares() -> None:
    """The Dirichlet-multinomial, unit by unit: each is predicted from the prior and what came before it."""
    rng = np.random.default_rng(1)
    shares = (0.7, 0.2, 0.1)
    seen, log = [0, 0, 0], 0.0
    for arm in rng.choice(3, 2_000, p=(0.6, 0.25, 0.15)):
        log += math.log((1000 * shares[arm] + seen[arm]) / (1000 + sum(seen)) / shares[arm])
        seen[arm] += 1
        if sum(seen) % 400 == 0:
            assert log_ratio(seen, shares) == pytest.approx(log, abs=1e-8)
    assert log > math.log(1000)


def test_two_arms_are_the_beta_binomial() -> None:
    w, c, n = 0.1, 150, 900
    a, b = 1000 * w, 1000 * (1 - w)
    expected = betaln(a + c, b + n) - betaln(a, b) - c * math.log(w) - n * math.log(1 - w)
    assert log_ratio((c, n), (w, 1 - w)) == pytest.approx(expected)


@law
@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=3))
def test_shares_may_be_in_any_unit(counts: list[int]) -> None:
    assert log_ratio(counts, (5000, 3000, 2000)) == pytest.approx(log_ratio(counts, (0.5, 0.3, 0.2)), abs=1e-4)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, False),
        ({"a": 9_000, "b": 1_000}, False),
        ({"a": 88_000, "b": 12_000}, True),
        ({"a": 10, "c": 1}, True),
    ],
)
def test_the_alarm_is_raised_for_shares_that_cannot_be(counts: dict[str, int], expected: object) -> None:
    value, raised = ratio_alarm(counts, {"a": 9000, "b": 1000, "c": 0})
    assert raised is expected
    assert math.isfinite(value)


def test_an_arm_that_no_share_names_is_an_error() -> None:
    with pytest.raises(ValueError, match="shares do not name"):
        ratio_alarm({"z": 1}, {"a": 1})


def test_sound_arms_raise_no_alarm_however_often_one_looks() -> None:
    rng = np.random.default_rng(2)
    shares = {"a": 80, "b": 15, "c": 5}
    for _ in range(100):
        counts = rng.multinomial(100, (0.8, 0.15, 0.05), 100).cumsum(axis=0)
        assert not any(ratio_alarm(dict(zip("abc", map(int, row), strict=True)), shares)[1] for row in counts[::5])


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize(("a", "b"), [((40, 3), (60, 20)), ((10, 0), (10, 10)), ((200, 4), (50, 1)), ((0, 0), (30, 30))])
def test_the_interval_is_the_shadow_of_all_pairs_that_are_not_rejected(
    a: tuple[int, int], b: tuple[int, int], alpha: float
) -> None:
    grid = np.linspace(0, 1, 1_001)

    def against(arm: tuple[int, int]) -> np.ndarray:
        n, failed = arm
        likelihood = xlogy(failed, grid) + xlog1py(n - failed, -grid)
        return betaln(failed + 0.5, n - failed + 0.5) - betaln(0.5, 0.5) - likelihood

    kept = against(a)[:, None] + against(b)[None, :] < -math.log(alpha)
    differences = (grid[:, None] - grid[None, :])[kept]
    low, high = difference_interval(a, b, alpha)
    assert low == pytest.approx(differences.min(), abs=0.002)
    assert high == pytest.approx(differences.max(), abs=0.002)


@law
@given(rates(), rates(), st.sampled_from([0.2, 0.05, 0.001]))
def test_the_interval_holds_the_observed_difference_and_turns_with_its_arms(
    a: tuple[int, int], b: tuple[int, int], alpha: float
) -> None:
    low, high = difference_interval(a, b, alpha)
    assert -1 <= low <= high <= 1
    if a[0] and b[0]:
        assert low - 1e-9 <= a[1] / a[0] - b[1] / b[0] <= high + 1e-9
    assert difference_interval(b, a, alpha) == pytest.approx((-high, -low), abs=1e-9)


@law
@given(rates(10**4), rates(10**4))
def test_more_certainty_asks_for_a_wider_interval(a: tuple[int, int], b: tuple[int, int]) -> None:
    wide, narrow = difference_interval(a, b, 0.01), difference_interval(a, b, 0.1)
    assert wide[0] <= narrow[0] + 1e-9
    assert narrow[1] <= wide[1] + 1e-9


def test_the_true_difference_stays_inside_at_every_look() -> None:
    rng = np.random.default_rng(3)
    looks = [10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    missed = 0
    for _ in range(200):
        a, b = ((rng.random(looks[-1]) < rate).cumsum() for rate in (0.1, 0.05))
        intervals = [difference_interval((n, int(a[n - 1])), (n, int(b[n - 1]))) for n in looks]
        missed += any(not low <= 0.05 <= high for low, high in intervals)
    assert missed / 200 <= 0.05


def test_the_interval_narrows_as_one_over_the_root_of_n() -> None:
    widths = [high - low for low, high in (difference_interval((n, n // 20), (n, n // 20)) for n in (1_000, 100_000))]
    assert 7 < widths[0] / widths[1] < 10
    assert all(later < earlier for earlier, later in itertools.pairwise(widths))
