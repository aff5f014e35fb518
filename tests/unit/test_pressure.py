"""How an event loop finds out that it has more to do than it can."""

import asyncio
from collections.abc import Callable
from typing import Any

from serving.lane.pressure import LEAST_REQUESTS, Pressure
from serving.standing import LASTING_SECONDS

LIMIT = 0.010


class Clockwork:
    """A loop whose time is told it: each go takes up some requests, and the call that was put off comes at its end."""

    def __init__(self) -> None:
        self.now = 100.0
        self.put_off: list[Callable[[], None]] = []
        self.pressure = Pressure(self, LIMIT)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.now

    def call_soon(self, call: Callable[[], None]) -> None:
        self.put_off.append(call)

    def go(self, requests: int, seconds_each: float, refusal_seconds: float = 0.0) -> list[bool]:
        """Take up `requests` in one go; which of them were refused."""
        refused = []
        for _ in range(requests):
            refused.append(self.pressure.refuses(self.now))
            self.now += refusal_seconds if refused[-1] else seconds_each
        calls, self.put_off = self.put_off, []
        for call in calls:
            call()
        return refused

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_what_a_loop_can_take_is_never_refused() -> None:
    loop = Clockwork()
    for _ in range(500):
        assert not any(loop.go(10, LIMIT / 20))
        loop.sleep(LIMIT / 2)


def test_a_burst_is_waited_out_however_large() -> None:
    loop = Clockwork()
    assert not any(loop.go(5_000, 0.001))
    loop.sleep(0.05)
    assert not any(loop.go(10, 0.0001))


def test_goes_that_stay_long_are_overload_and_then_those_wait_no_longer_than_is_allowed() -> None:
    loop = Clockwork()
    begun = loop.now
    while not any(loop.go(200, 0.0002)):
        assert loop.now - begun < 5 * LASTING_SECONDS, "it never noticed"
    assert loop.now - begun > LASTING_SECONDS
    for _ in range(50):
        refused = loop.go(200, 0.0002, refusal_seconds=0.00002)
        waits = [place * 0.0002 for place, no in enumerate(refused) if not no]
        assert all(wait <= LIMIT for wait in waits)
        assert refused.count(True) >= 100


def test_a_slow_machine_is_no_overload_while_callers_are_few() -> None:
    loop = Clockwork()
    for _ in range(100):
        assert not any(loop.go(LEAST_REQUESTS, 0.005))


def test_once_the_load_has_gone_nobody_is_refused_any_more() -> None:
    loop = Clockwork()
    for _ in range(20):
        loop.go(200, 0.001)
    assert any(loop.go(200, 0.001))
    for _ in range(200):
        loop.sleep(0.002)
        loop.go(2, 0.0001)
    assert not any(loop.go(15, 0.001)), "longer than the limit, but a burst"


def test_it_works_with_a_real_loop() -> None:
    async def flood() -> int:
        loop: Any = asyncio.get_running_loop()
        pressure = Pressure(loop, 0.0)
        refused = 0
        until = loop.time() + 3 * LASTING_SECONDS
        while loop.time() < until:
            for _ in range(2 * LEAST_REQUESTS):
                refused += pressure.refuses(loop.time())
            await asyncio.sleep(0)
        return refused

    assert asyncio.run(flood()) > 0
