"""Reading a gate's settings: a tag of the model, words and `key=value`, short enough to type in MLflow's UI."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, TypeVar

from stagedoor import names
from stagedoor.domain.strategy import read_duration
from stagedoor.errors import InvalidTag

T = TypeVar("T")

_SIZE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(KiB|MiB|GiB|KB|MB|GB)")
_SIZES: Final[Mapping[str, int]] = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True, slots=True)
class Words:
    """The parsed tag of the gate `gate`. `example` is shown to those who wrote something else."""

    gate: str
    example: str
    flags: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, gate: str, text: str | None, example: str, known: Collection[str]) -> "Words":
        """Split at blanks. Raises InvalidTag for a key that is not `known`, or one that comes twice."""
        words = cls(gate, example)
        flags: list[str] = []
        values: dict[str, str] = {}
        for word in (text or "").split():
            key, equals, value = word.partition("=")
            if not equals:
                flags.append(word)
            elif key not in known or key in values:
                raise words.wrong()
            else:
                values[key] = value
        return cls(gate, example, tuple(flags), values)

    def get(self, key: str, read: Callable[[str], T]) -> T | None:
        """The value of `key`, None without one. Raises InvalidTag if `read` raises ValueError."""
        text = self.values.get(key)
        if text is None:
            return None
        try:
            return read(text)
        except ValueError as error:
            raise self.wrong() from error

    def only(self, *flags: str) -> tuple[str, ...]:
        """The flags, if no others are there. Raises InvalidTag."""
        if not set(self.flags) <= set(flags):
            raise self.wrong()
        return self.flags

    def wrong(self) -> InvalidTag:
        """The error that says how to write the tag."""
        return InvalidTag(names.TAG_GATE_PREFIX + self.gate, f"write it like {self.example}")


def number(text: str) -> float:
    """A finite number. Raises ValueError."""
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError("not finite")
    return value


def positive(text: str) -> float:
    """A finite number above 0. Raises ValueError."""
    value = number(text)
    if value <= 0:
        raise ValueError("not above 0")
    return value


def path_inside(text: str) -> str:
    """A relative path that stays below where it begins. Raises ValueError."""
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or not {"\\", "\0", ":"}.isdisjoint(text):
        raise ValueError("leads outside")
    return text


def duration(text: str) -> float:
    """Seconds of `50ms`, `2s`. Raises ValueError."""
    return read_duration(text)


def size(text: str) -> float:
    """Bytes of `512MiB`. Raises ValueError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError("write a size as 512MiB or 2GiB")
    return float(found[1]) * _SIZES[found[2]]
