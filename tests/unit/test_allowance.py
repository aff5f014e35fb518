"""How much may be on its way while more comes than can be answered."""

import math

import pytest

from serving.alarm import Alarm
from serving.allowance import BEARABLE, CALM_SECONDS, FEW, Allowance
from serving.standing import LASTING_SECONDS, Standing

GO = 0.002
WAIT = 0.010


def busy(rows: int, seconds: float, allowance: Allowance, *, goes: int = 200, waited: float = 0.001) -> float:
    """So many goes of `rows`, one behind the other; when they have ended."""
    now = 0.0
    for _ in range(goes):
        allowance.began(now, waited)
        now += seconds
        allowance.ended(seconds, rows)
    return now


def asks(allowance: Allowance, rows: int, now: float) -> bool:
    """One row each."""
    return allowance.admits(rows, rows, now)


def test_a_few_are_admitted_however_slow_the_machine() -> None:
    allowance = Allowance(WAIT)
    now = busy(1, GO, allowance)
    assert all(allowance.admits(rows, rows, now) for rows in range(1, FEW + 1))


def test_more_than_a_few_are_an_overload_and_then_as_much_is_admitted_as_can_be_answered_in_time() -> None:
    allowance = Allowance(WAIT)
    now = busy(1, GO, allowance)
    assert not asks(allowance, FEW + 1, now)
    in_time = int(WAIT / GO)
    assert asks(allowance, in_time - 1, now)
    assert not asks(allowance, in_time + 2, now), "nor are few, until it is over"


def test_what_can_be_answered_in_time_is_admitted_however_much_it_is() -> None:
    allowance = Allowance(WAIT)
    now = busy(100, GO, allowance)
    assert asks(allowance, int(100 * WAIT / GO) - 1, now)


def test_while_nothing_is_known_everybody_is_admitted() -> None:
    assert asks(Allowance(WAIT), 100_000, 0.0)


def test_a_few_callers_with_many_rows_are_no_overload() -> None:
    allowance = Allowance(WAIT)
    now = busy(1, GO, allowance)
    assert allowance.admits(100_000, FEW, now)
    assert allowance.admits(FEW, FEW, now)


def test_a_slow_version_has_five_of_its_quickest_goes() -> None:
    allowance = Allowance(WAIT)
    now = busy(1, 1.0, allowance)
    assert allowance.patience >= 5.0
    assert not asks(allowance, FEW + 1, now)
    assert asks(allowance, 5, now)
    assert not asks(allowance, 7, now)


def test_few_who_wait_for_very_long_are_an_overload_too() -> None:
    allowance = Allowance(WAIT)
    now = busy(1, GO, allowance, waited=2 * BEARABLE * WAIT)
    assert now > LASTING_SECONDS
    assert not asks(allowance, FEW, now)


def test_once_nobody_has_been_refused_for_a_while_it_is_over() -> None:
    allowance = Allowance(WAIT)
    now = busy(1, GO, allowance)
    assert not asks(allowance, FEW + 1, now)
    assert not asks(allowance, FEW, now + 0.9 * CALM_SECONDS)
    assert not asks(allowance, FEW, now + 1.8 * CALM_SECONDS), "the last one was refused half as long ago"
    assert asks(allowance, FEW, now + 2.9 * CALM_SECONDS)


def test_who_has_waited_for_too_long_is_too_early_in_an_overload_and_at_no_other_time() -> None:
    allowance = Allowance(WAIT)
    now = busy(1, GO, allowance)
    assert allowance.came_too_early(now) == -math.inf
    assert not asks(allowance, FEW + 1, now)
    assert allowance.came_too_early(now + 0.1) == pytest.approx(now + 0.1 - allowance.patience)
    assert allowance.came_too_early(now + 1.1 * CALM_SECONDS) == -math.inf


def test_what_one_worker_has_found_out_holds_for_all() -> None:
    one, other = (Allowance(WAIT, alarm=Alarm.of("churn", "7")) for _ in range(2))
    elsewhere = Allowance(WAIT, alarm=Alarm.of("churn", "8"))
    now = max(busy(1, GO, allowance) for allowance in (one, other, elsewhere))
    assert not asks(one, FEW + 1, now)
    assert not asks(other, FEW, now)
    assert asks(elsewhere, FEW, now)
    assert asks(other, FEW, now + 2 * CALM_SECONDS)


def test_refusals_do_not_slow_down_what_is_admitted() -> None:
    allowance = Allowance(WAIT)
    now = busy(8, GO, allowance)
    assert not asks(allowance, 1_000_000, now)
    for _ in range(500):  # between two goes there is a pause now, for want of those who were refused
        now += GO
        allowance.began(now, 0.0)
        now += GO
        allowance.ended(GO, 8)
        assert asks(allowance, int(8 / GO * WAIT) - 1, now)
        assert not asks(allowance, 1_000_000, now)


def test_a_wait_that_does_not_last_is_no_standing_queue() -> None:
    standing = Standing()
    for step in range(1000):
        standing.saw(step * LASTING_SECONDS / 4, too_long=step % 4 != 0)
        assert not standing.over
