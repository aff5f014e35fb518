from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.bench.stints import LONGEST_SECONDS, order, stint_seconds

SERVERS = st.integers(1, 13).map(lambda count: [f"server-{number}" for number in range(count)])


@given(SERVERS, st.integers(0, 40))
def test_in_each_turn_everyone_is_measured_once(servers: list[str], turn: int) -> None:
    assert sorted(order(servers, turn)) == sorted(servers)


@given(SERVERS, st.integers(0, 40))
def test_nobody_keeps_a_neighbour_or_a_place(servers: list[str], first: int) -> None:
    turns = [order(servers, first + turn) for turn in range(2 * len(servers))]
    followers = Counter(pair for turn in turns for pair in pairwise(turn))
    assert set(followers.values()) <= {2}
    assert len(followers) == len(servers) * (len(servers) - 1)
    places = Counter(place for turn in turns for place in enumerate(turn))
    assert set(places.values()) == {2}


@pytest.mark.parametrize("count", [2, 3, 10, 11])
def test_from_one_turn_to_the_next_the_order_is_another(count: int) -> None:
    assert order(range(count), 0) != order(range(count), 1)


@pytest.mark.parametrize(
    ("least", "connections", "rate", "seconds"),
    [
        (1, 64, 7000.0, 1),
        (1, 64, 192.0, 1),
        (1, 64, 191.0, 2),
        (1, 16, 35.0, 2),
        (1, 64, 35.0, LONGEST_SECONDS),
        (6, 64, 35.0, 6),
        (1, 64, 0.0, 1),
    ],
)
def test_slow_servers_are_driven_until_each_connection_has_had_some_answers(
    least: int, connections: int, rate: float, seconds: int
) -> None:
    assert stint_seconds(least, connections, rate) == seconds
