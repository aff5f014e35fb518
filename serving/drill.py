"""Faults on purpose: what a drill does to requests of its cohort that fall to the candidate."""

import time
from typing import Final, Literal, get_args

from stagedoor.domain.traffic import WHOLE, Drill, bucket_of
from stagedoor.errors import InvalidOutput, ModelFailed

Fault = Literal["error", "latency", "nan"]
FAULTS: Final[tuple[str, ...]] = get_args(Fault)

MAX_SLEEP_SECONDS: Final = 2.0
MIN_SLEEP_SECONDS: Final = 0.05
_KEY: Final = b"stagedoor.drill"
"""Keeps the draw of the fault apart from the draw of the arm."""


class DrillError(Exception):
    """The cause that the log shows of a fault put in by a drill."""


def fault_for(drill: Drill, draw: int) -> Fault | None:
    """The fault that the request with this draw suffers, which is a share `rate` of them."""
    return drill.fault if bucket_of(_KEY, draw.to_bytes(16, "big")) < drill.rate * WHOLE else None


def suffer(fault: Fault, slow_seconds: float | None) -> None:
    """What happens in the place of a sound prediction, or before it.

    Raises ModelFailed for `error` and InvalidOutput for `nan`; for `latency` it sleeps for longer than is slow, 2 s at most.
    """
    if fault == "latency":
        time.sleep(sleep_seconds(slow_seconds))
    elif fault == "nan":
        raise InvalidOutput("a number in it is not finite") from DrillError()
    else:
        raise ModelFailed from DrillError()


def sleep_seconds(slow_seconds: float | None) -> float:
    """How long a slow answer takes: well over what counts as slow, within bounds."""
    wanted = MAX_SLEEP_SECONDS if slow_seconds is None else slow_seconds * 1.5
    return min(max(wanted, MIN_SLEEP_SECONDS), MAX_SLEEP_SECONDS)
