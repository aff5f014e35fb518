"""How much may be on its way while more comes than can be answered."""

from serving.allowance import Allowance
from serving.standing import LASTING_SECONDS, Standing

GO = 0.002


def overloaded(rows: int, seconds: float, allowance: Allowance, begin: float = 0.0) -> float:
    """Goes of `rows` in which even the youngest has waited for long; when they have ended."""
    now = begin
    for _ in range(200):
        allowance.began(now, 60.0)
        allowance.admits(1_000_000, now)  # and more keeps coming
        now += seconds
        allowance.ended(seconds, rows)
    return now


def test_without_a_standing_queue_everybody_is_admitted() -> None:
    allowance = Allowance(0.010)
    now = 0.0
    for _ in range(500):
        allowance.began(now, 0.001)
        now += GO
        allowance.ended(GO, 8)
    assert allowance.admits(100_000, now)


def test_in_a_standing_queue_as_much_is_admitted_as_can_be_answered_in_time() -> None:
    allowance = Allowance(0.010)
    now = overloaded(8, GO, allowance)
    in_time = int(8 / GO * 0.010)
    assert allowance.admits(in_time - 1, now)
    assert not allowance.admits(in_time + 2, now)


def test_a_slow_version_has_five_of_its_quickest_goes() -> None:
    allowance = Allowance(0.010)
    now = overloaded(1, 1.0, allowance)
    assert allowance.patience >= 5.0
    assert allowance.admits(5, now)
    assert not allowance.admits(7, now)


def test_once_nobody_has_been_refused_for_a_while_everybody_is_admitted_again() -> None:
    allowance = Allowance(0.010)
    now = overloaded(8, GO, allowance)
    assert not allowance.admits(1000, now)
    for later in (now + LASTING_SECONDS, now + 2 * LASTING_SECONDS):
        allowance.began(later, 0.0)
    assert allowance.admits(1000, now + 2 * LASTING_SECONDS)


def test_refusals_do_not_slow_down_what_is_admitted() -> None:
    allowance = Allowance(0.010)
    now = overloaded(8, GO, allowance)
    for _ in range(500):  # between two goes there is a pause now, for want of those who were refused
        now += GO
        allowance.began(now, 0.0)
        now += GO
        allowance.ended(GO, 8)
        assert allowance.admits(int(8 / GO * 0.010) - 1, now)
        assert not allowance.admits(1_000_000, now)


def test_a_wait_that_does_not_last_is_no_standing_queue() -> None:
    standing = Standing()
    for step in range(1000):
        standing.saw(step * LASTING_SECONDS / 4, too_long=step % 4 != 0)
        assert not standing.over
