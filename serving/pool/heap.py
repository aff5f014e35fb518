"""What the garbage collector walks through.

Frameworks are hundreds of thousands of objects that stay, most of them on pages that workers share. To walk through them while
requests make new ones costs CPU, holds up whoever is being answered, and copies each page; so what a worker begins with is
never walked through again. What it loads later is, when a version goes: there may be cycles among it.
"""

import gc
from typing import Final

YOUNG_OBJECTS: Final = 20_000
"""New objects between two collections of the young: some hundred requests' worth."""


def relax() -> None:
    """Collect less often, and nothing of what exists now; once in each worker, before it loads versions."""
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    gc.freeze()


def reclaim() -> None:
    """Free the cycles among what was loaded. Takes as long as that is large: for after an eviction."""
    gc.collect()
