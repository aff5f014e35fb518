"""How much is measured, and of what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import names


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds, and seconds of each closed-loop run (whole ones: so wrk has it), of the open-loop runs and of the overload.

    `light_seconds` are those of the light load that the overload is held against: its p99 rests on a tenth of the capacity.

    Rounds are short and many: compared is what was read within one, while the machine was as fast for one as for another.
    """

    rounds: int
    seconds: int
    warm_seconds: int
    open_seconds: float
    overload_seconds: float
    light_seconds: float
    restarts: int
    inside_repeats: int
    open_every: int = 1
    """The open loop is part of the first round and of each so many after it: its tails need seconds more than repeats."""

    def open_seconds_in(self, number: int) -> float:
        """Seconds of the open loop in the round of this number, from 0; 0 where it has none."""
        return 0.0 if number % self.open_every else self.open_seconds


FULL = Effort(
    rounds=5,
    seconds=1,
    warm_seconds=1,
    open_seconds=2,
    overload_seconds=10,
    light_seconds=10,
    restarts=5,
    inside_repeats=200,
    open_every=2,
)
QUICK = Effort(
    rounds=1, seconds=1, warm_seconds=1, open_seconds=1, overload_seconds=3, light_seconds=3, restarts=1, inside_repeats=60
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What to measure: parts of the page, and servers; None for all of them."""

    parts: frozenset[str] | None = None
    servers: frozenset[str] | None = None

    def part(self, name: str) -> bool:
        """Whether this part is wanted."""
        return self.parts is None or name in self.parts

    def server(self, name: str) -> bool:
        """Whether this server is wanted."""
        return self.servers is None or name in self.servers


def choose(words: Iterable[str], servers: Mapping[str, frozenset[str]] = MappingProxyType({})) -> Choice:
    """What `--only` asks for; `servers` are the known ones with their workloads. Raises ValueError with what is known.

    Servers alone are measured with all of their workloads, and nothing else is.
    """
    asked = frozenset(words)
    parts, chosen = asked & frozenset(names.PARTS), asked & frozenset(servers)
    unknown = asked - parts - chosen
    if unknown:
        known = ", ".join((*names.PARTS, *sorted(servers)))
        raise ValueError(f"--only does not know {', '.join(sorted(unknown))}. It knows: {known}.")
    if chosen and not parts:
        parts = frozenset().union(*(servers[name] for name in chosen))
    return Choice(parts or None, chosen or None)
