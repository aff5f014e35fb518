"""A worker knows how old its knowledge of the registry is."""

import time
from collections.abc import Callable
from typing import Any

from serving.snapshot_file import Heartbeat, write_heartbeat

Until = Callable[..., bool]


def beat(house: Any, succeeded_at: float | None) -> None:
    write_heartbeat(house.paths.heartbeat, Heartbeat(time.time(), succeeded_at, None, 0.01, 1, 0))


def test_a_view_is_stale_before_the_registry_was_ever_read_and_fresh_after(house: Any, until: Until) -> None:
    house.add("1")
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    assert pool.view.stale
    beat(house, time.time())
    assert until(lambda: not pool.view.stale)
    assert pool.view.serial == 1


def test_a_view_turns_stale_when_the_last_good_read_is_too_long_ago_and_stays_so_over_a_new_snapshot(
    house: Any, until: Until
) -> None:
    house.add("1")
    house.add("2")
    beat(house, time.time())
    house.publish(house.entry("1"))
    pool = house.started()
    assert until(lambda: pool.view.serial == 1)
    assert not pool.view.stale
    beat(house, time.time() - house.settings.stale_after_seconds - 1)
    assert until(lambda: pool.view.stale)
    house.publish(house.entry("2"))
    assert until(lambda: pool.view.serial == 2)
    assert pool.view.stale
