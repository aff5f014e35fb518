"""The wait between two batches for those who have just been answered."""

import threading
from itertools import islice

import pytest

from serving.regulars import FULL_SHARE, MOST_SCANT, SCANT_SHARE, Regulars

LONG = 3600.0
"""Seconds of a batch: waits are bounded by MOST_SECONDS all the same."""


def expecting(rows: int) -> tuple[Regulars, threading.Lock]:
    regulars = Regulars()
    regulars.expect(rows)
    return regulars, threading.Lock()


def shares(regulars: Regulars, guard: threading.Lock) -> list[float]:
    """What the next waits would be, all in vain."""

    def one() -> float:
        share = regulars.share
        regulars.expect(2)
        came = regulars.wait(0.0, guard)
        assert not came
        regulars.learn(came=came)
        return share

    return [one() for _ in range(40)]


def test_who_comes_before_the_wait_ends_it() -> None:
    regulars, guard = expecting(3)
    regulars.arrived(3)
    assert regulars.wait(LONG, guard)


def test_too_few_do_not_end_it() -> None:
    regulars, guard = expecting(3)
    regulars.arrived(2)
    assert not regulars.wait(0.001, guard)


def test_it_ends_for_more_than_expected_and_rings_once() -> None:
    regulars, guard = expecting(3)
    regulars.arrived(4)
    regulars.arrived(5)
    assert regulars.wait(0.0, guard)
    regulars.expect(3)
    assert not regulars.wait(0.0, guard)


def test_nobody_is_expected_after_a_wait_in_vain() -> None:
    regulars, guard = expecting(3)
    assert not regulars.wait(0.0, guard)
    regulars.arrived(3)
    regulars.expect(4)
    assert not regulars.wait(0.0, guard)


def test_waits_in_vain_become_rare() -> None:
    regulars, guard = expecting(2)
    found = shares(regulars, guard)
    full = [at for at, share in enumerate(found) if share == FULL_SHARE]
    assert set(found) == {FULL_SHARE, SCANT_SHARE}
    assert [later - earlier - 1 for earlier, later in zip(full, islice(full, 1, None), strict=False)] == [
        1,
        2,
        4,
        8,
        MOST_SCANT,
    ]


def test_who_comes_after_all_is_waited_for_again() -> None:
    regulars, guard = expecting(2)
    shares(regulars, guard)
    regulars.expect(2)
    regulars.arrived(2)
    regulars.learn(came=regulars.wait(0.0, guard))
    assert shares(regulars, guard)[:3] == [FULL_SHARE, SCANT_SHARE, FULL_SHARE]


@pytest.mark.parametrize("callers", [1, 2, 5])
def test_every_wait_ends_however_arrivals_and_its_end_meet(callers: int) -> None:
    regulars, guard = Regulars(), threading.Lock()
    stop = threading.Event()

    def arrive() -> None:
        while not stop.is_set():
            with guard:
                regulars.arrived(1)

    threads = [threading.Thread(target=arrive, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(300):
            with guard:
                regulars.expect(1)
            regulars.wait(0.000_02, guard)  # about as long as an arrival takes
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
