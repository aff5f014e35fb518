"""What is said of one target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from .document import Document

SAME: Final = 1.1
"""Ratio up to which two figures count as the same: what repeats of one thing differ by on a shared machine."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target beside its figure. `met` is None where it was not measured; then `figure` says what is missing."""

    about: str
    target: str
    figure: str
    met: bool | None


Judge = Callable[[Document], Iterator[Verdict]]


def unknown(about: str, target: str, *lacking: str) -> Verdict:
    """Not measured."""
    return Verdict(about, target, f"not measured: {', '.join(lacking)}", None)
