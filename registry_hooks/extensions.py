"""What teams add of their own, found by entry point. One that is broken is told apart, never left out in silence."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any


@dataclass(frozen=True, slots=True)
class Extension:
    """One entry point: its `name`, and the object it leads to, or `broken`, why there is none."""

    name: str
    value: Any = None
    broken: str = ""


def extensions(group: str) -> Iterator[Extension]:
    """All entry points of a group by name. A class is called without arguments to make the object."""
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            value = point.load()
            made = value() if isinstance(value, type) else value
        except Exception as error:  # noqa: BLE001  somebody else's code, which may raise anything
            yield Extension(point.name, broken=f"The extension {point.name} cannot be loaded ({type(error).__name__}).")
            continue
        if callable(made):
            yield Extension(point.name, made)
        else:
            yield Extension(point.name, broken=f"The extension {point.name} is nothing that can be called.")
