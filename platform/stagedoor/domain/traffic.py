"""Who gets which version: policies, routes, and the assignment of one unit to one arm."""

import hashlib
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import accumulate
from typing import Final, Literal, NamedTuple, Self

from stagedoor import names
from stagedoor.domain.refs import check_alias
from stagedoor.errors import InvalidTag, MalformedName

WHOLE: Final = 10_000
"""All traffic, in basis points."""

_HEADER: Final = re.compile(r"[A-Za-z0-9\-]{1,64}")
_CLAIM: Final = re.compile(r"[A-Za-z0-9_\-.:/]{1,128}")


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """Shares of plain-name traffic by alias, in basis points; they add up to 10,000. The first alias is the stable arm."""

    weights: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        aliases = [alias for alias, _ in self.weights]
        if len(set(aliases)) != len(aliases):
            raise InvalidTag(names.TAG_TRAFFIC, "names an alias twice; write each alias once, as in champion=90,challenger=10")
        if any(weight < 0 for _, weight in self.weights) or sum(weight for _, weight in self.weights) != WHOLE:
            raise InvalidTag(names.TAG_TRAFFIC, "the shares must add up to 100 (percent) or 10000 (basis points)")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `champion=90,challenger=10`, in percent (adds up to 100) or basis points (10000). Raises InvalidTag."""
        shares = [_parse_share(part) for part in text.split(",")]
        total = sum((share for _, share in shares), Decimal(0))
        scale = WHOLE // 100 if total == 100 else 1  # noqa: PLR2004  per cent
        points = [(alias, share * scale) for alias, share in shares]
        if any(share != int(share) for _, share in points):
            raise InvalidTag(names.TAG_TRAFFIC, "a share is finer than a basis point (0.01 percent)")
        return cls(tuple((alias, int(share)) for alias, share in points))

    @classmethod
    def all_to(cls, alias: str) -> Self:
        """Everything to one alias."""
        return cls(((alias, WHOLE),))


def _parse_share(part: str) -> tuple[str, Decimal]:
    alias, equals, amount = (piece.strip() for piece in part.partition("="))
    try:
        share = Decimal(amount)
        check_alias(alias)
    except (InvalidOperation, MalformedName) as error:
        raise InvalidTag(
            names.TAG_TRAFFIC, "write alias=share pairs with commas between, as in champion=90,challenger=10"
        ) from error
    # The bound comes before any arithmetic: 1e999999 would be turned into a number of a million digits.
    if not equals or not share.is_finite() or not 0 <= share <= WHOLE:
        raise InvalidTag(names.TAG_TRAFFIC, "write alias=share pairs with commas between, as in champion=90,challenger=10")
    return alias, share


@dataclass(frozen=True, slots=True)
class Sticky:
    """Where the unit of assignment comes from, when it is not the single request."""

    source: Literal["header", "claim"]
    key: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `header:X-User-Id` or `claim:sub`. Raises InvalidTag."""
        source, _, key = (piece.strip() for piece in text.partition(":"))
        if source == "header" and _HEADER.fullmatch(key):
            return cls("header", key)
        if source == "claim" and _CLAIM.fullmatch(key):
            return cls("claim", key)
        raise InvalidTag(names.TAG_STICKY, "write header:<name> or claim:<name>, as in header:X-User-Id")

    def __str__(self) -> str:
        return f"{self.source}:{self.key}"


@dataclass(frozen=True, slots=True)
class Arm:
    """One version with its share of the traffic, in basis points. `name` is the alias (or stage) it came from."""

    name: str
    version: str
    weight: int


@dataclass(frozen=True, slots=True)
class Rolling:
    """A version that takes over machine by machine: the `nodes` (STAGEDOOR_NODE_NAME) that have it already."""

    version: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault put into the candidate arm, for requests of one `cohort` (header X-Stagedoor-Cohort) alone.

    Requests outside the cohort go to the stable arm. A share `rate` (0 to 1) of the cohort's requests to the candidate
    suffers it, until `until` (seconds since the epoch); from then on all go to the stable arm.
    """

    fault: Literal["error", "latency", "nan"]
    rate: float
    cohort: str
    until: float


@dataclass(frozen=True, slots=True)
class Route:
    """The effective split of one model at one epoch. The first arm is the stable one; it takes what the others leave.

    The rest comes from a controller only. `aliases` are the names it answers for, and the versions they mean; `watched`
    asks for outcomes counted by epoch; `slow_seconds` is what counts as slow; `warm` are versions kept in memory beside the
    arms, so that going back to them takes no time; `shield` lets the stable version answer where another fails; `mirror` is
    a version that gets a copy of each request; `rolling` and `drill` see there. `by` is who asked for it.
    """

    epoch: int
    arms: tuple[Arm, ...]
    salt: bytes
    sticky: Sticky | None = None
    reason: str = ""
    by: str = ""
    issued: bool = False
    aliases: tuple[tuple[str, str], ...] = ()
    watched: bool = False
    slow_seconds: float | None = None
    warm: tuple[str, ...] = ()
    shield: bool = False
    mirror: str | None = None
    rolling: Rolling | None = None
    drill: Drill | None = None
    edges: tuple[int, ...] = field(init=False, compare=False, repr=False)
    """For each candidate the first bucket above its share."""

    def __post_init__(self) -> None:
        if not self.arms or sum(arm.weight for arm in self.arms) != WHOLE or any(arm.weight < 0 for arm in self.arms):
            raise ValueError("a route's weights are basis points that add up to 10,000")
        object.__setattr__(self, "edges", tuple(accumulate(arm.weight for arm in self.arms[1:])))

    @property
    def stable(self) -> Arm:
        """The arm that answers when nothing else says so."""
        return self.arms[0]

    @property
    def versions(self) -> frozenset[str]:
        """Every version that this route needs in memory."""
        others = {*self.warm, *(version for _, version in self.aliases)}
        others |= {self.mirror} if self.mirror else set()
        others |= {self.rolling.version} if self.rolling else set()
        return frozenset({arm.version for arm in self.arms} | others)

    def same_split(self, other: "Route") -> bool:
        """Whether both send every unit to the same version."""
        return (self.arms, self.salt, self.sticky) == (other.arms, other.salt, other.sticky)


class Assignment(NamedTuple):
    """The arm a unit fell to, and the bucket that decided. `point` is the unit's place in 64 bits, where it was taken."""

    arm: Arm
    bucket: int
    point: int | None = None


def point_of(salt: bytes, unit: bytes) -> int:
    """Hash a unit to 0 .. 2^64 - 1 with keyed BLAKE2b-64 (RFC 7693); depends on nothing else."""
    state = _keyed(salt).copy()
    state.update(unit)
    return int.from_bytes(state.digest(), "big")


@lru_cache(maxsize=4096)
def _keyed(salt: bytes) -> "hashlib.blake2b":
    """The hash with its key taken in, which costs as much as all the rest."""
    return hashlib.blake2b(digest_size=8, key=salt)


def bucket_of(salt: bytes, unit: bytes) -> int:
    """The unit's point as one of 10,000 buckets, from 0 upwards."""
    return point_of(salt, unit) * WHOLE >> 64


def assign(route: Route, unit: bytes) -> Assignment:
    """Give `unit` its arm.

    Candidates (all arms but the first) are stacked from bucket 0 upwards in their order, so that raising the only
    candidate's share never moves a unit that already had it.
    """
    arms = route.arms
    if len(arms) == 1:
        return Assignment(arms[0], 0)
    point = point_of(route.salt, unit)
    bucket = point * WHOLE >> 64
    place = bisect_right(route.edges, bucket) + 1
    return Assignment(arms[place] if place < len(arms) else arms[0], bucket, point)


def salt_for(model: str, candidates: tuple[str, ...]) -> bytes:
    """The salt of an experiment: one for all shares of the same candidate versions, another for other candidates."""
    text = "\x1f".join((model, *sorted(candidates)))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
