"""What the garbage collector walks through.

Frameworks and models are hundreds of thousands of objects that stay. Walking through them again and again while requests make
new ones costs CPU and holds up whoever is being answered; so they are set aside as soon as they are loaded.
"""

import gc
from typing import Final

YOUNG_OBJECTS: Final = 20_000
"""New objects between two collections of the young: some hundred requests' worth."""


def relax() -> None:
    """Collect less often; once in each worker."""
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


def set_aside() -> None:
    """Exempt all that exists now. What is dropped later is freed as ever, but for cycles: see `reclaim`."""
    gc.freeze()


def reclaim() -> None:
    """Free the cycles among what had been set aside. Takes as long as the heap is large: for after an eviction."""
    gc.unfreeze()
    gc.collect()
