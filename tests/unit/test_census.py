"""How many connections a worker asks for, so that all have their part."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.lane.census import PLACES, Census, room

counts = st.integers(0, 5_000)


@given(own=counts, others=st.lists(counts, min_size=1, max_size=8), most=st.integers(0, 64))
def test_a_worker_takes_its_part_and_little_more(own: int, others: list[int], most: int) -> None:
    taken = room(own, others, most)
    assert 0 <= taken <= most
    workers = len(others) + 1

    def fits(more: int) -> bool:
        return own + more <= 9 / 8 * (own + sum(others) + more) / workers + 1

    assert taken == 0 or fits(taken)
    assert taken == most or not fits(taken + 1)


@pytest.mark.parametrize(
    ("own", "others", "taken"),
    [
        (0, [0], 2),
        (8, [8], 4),
        (10, [4], 0),
        (30, [34], 16),
        (0, [], 16),
        (4, [0, 0, 0], 0),
    ],
)
def test_some_parts(own: int, others: list[int], taken: int) -> None:
    assert room(own, others, 16) == taken


@given(callers=st.integers(0, 300), workers=st.integers(2, 6))
def test_of_workers_that_take_turns_none_takes_much_more_than_its_part(callers: int, workers: int) -> None:
    has, part = [0] * workers, callers / workers
    while callers:
        for one in range(workers):
            others = has[:one] + has[one + 1 :]
            got = min(callers, max(1, room(has[one], others, 16)))  # asyncio takes one in any case
            has[one] += got
            callers -= got
    assert max(has) <= 9 / 8 * part + 2


def test_workers_see_what_the_others_say() -> None:
    census = Census()
    census.say(3, 7)
    if (child := os.fork()) == 0:
        census.say(4, 9)
        os._exit(0)
    os.waitpid(child, 0)
    assert census.others(3) == [9]
    assert sorted(census.others(PLACES - 1)) == [7, 9]
    census.leave(4)
    assert census.others(3) == []
