"""Restarts of children that died."""

import pytest

from stagedoor.local.restarts import HEALTHY_AFTER, LONGEST_DELAY, Restart, after_exit


def test_the_first_failure_is_mended_at_once() -> None:
    assert after_exit(uptime=1, failures=0) == Restart(after=0.5, failures=1)


def test_the_delay_doubles_up_to_a_limit() -> None:
    delays = [after_exit(uptime=1, failures=n).after for n in range(10)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert after_exit(uptime=1, failures=10**9).after == LONGEST_DELAY


@pytest.mark.parametrize("uptime", [HEALTHY_AFTER, 10**6])
def test_a_long_good_run_forgives_earlier_failures(uptime: float) -> None:
    assert after_exit(uptime, failures=9) == Restart(after=0.5, failures=1)
