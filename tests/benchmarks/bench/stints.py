"""Who is measured when, and for how long. Pure.

The speed of a shared machine changes from second to second. Servers that are compared are therefore driven for a second each,
one after another, and not each for all it is measured with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeVar

ANSWERS: Final = 3
"""A stint gives each connection this many answers of a server as slow as its last rate says."""
LONGEST_SECONDS: Final = 4
T = TypeVar("T")


def order(ones: Sequence[T], turn: int) -> list[T]:
    """All of them once, in another order from turn to turn.

    Over `2 * len(ones)` turns each comes after every other one equally often, and is first, second, ... equally often
    (a Williams design), so that nobody always has the same one's traces in the caches.
    """
    count = len(ones)
    zigzag = [(step + 1) // 2 if step % 2 else -(step // 2) for step in range(count)]
    placed = [ones[(place + turn) % count] for place in zigzag]
    return placed[::-1] if count % 2 and turn % 2 else placed


def stint_seconds(least: int, connections: int, rate: float) -> int:
    """Whole seconds that a server of `rate` answers a second is driven with so many connections.

    Where a request takes most of a stint, what is cut off at its end would count for nothing: slow servers get longer ones.
    """
    wanted = math.ceil(ANSWERS * connections / rate) if rate > 0 else least
    return max(least, min(wanted, LONGEST_SECONDS))
