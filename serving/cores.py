"""How many cores there are for the predictions of one worker."""

import os


def usable_cores() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system tells
        return os.cpu_count() or 1


def part_of(workers: int) -> int:
    """One worker's part of them, at least one, where so many have the machine."""
    return max(1, usable_cores() // max(workers, 1))
