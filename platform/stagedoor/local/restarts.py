"""Whether a child that died is started again, and when. Pure."""

from dataclasses import dataclass
from typing import Final

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
HEALTHY_AFTER: Final = 30.0
"""A child that ran this long, in seconds, has shown that it can; its earlier failures are forgotten."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again `after` seconds; it has now failed `failures` times in a row."""

    after: float
    failures: int


def after_exit(uptime: float, failures: int) -> Restart:
    """Decide about a child that had been ready once and ended unasked after `uptime` seconds, `failures` before that.

    It is always started again: what still runs keeps answering meanwhile. The delay doubles from 0.5 to 30 seconds.
    """
    before = 0 if uptime >= HEALTHY_AFTER else failures
    return Restart(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(before, 16)), before + 1)
