"""How a model is to be run, as its own tags say it: batches, the response cache, compiled promotion."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from stagedoor import names
from stagedoor.errors import InvalidTag

MAX_BATCH: Final = 4096
"""The most rows that a tag may let into one batch."""
MIN_TTL: Final = 100
MAX_TTL: Final = 24 * 3_600_000
"""Milliseconds for which an answer may be kept."""
MIN_CACHE: Final = 64 * 1024
MAX_CACHE: Final = 4 * 1024**3
DEFAULT_CACHE: Final = 64 * 1024**2
"""Bytes of answers that each worker may keep of one model."""

_ON: Final = frozenset({"on", "true", "yes"})
_OFF: Final = frozenset({"off", "false", "no"})
_TIMES: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_SIZES: Final = {"kib": 1024, "mib": 1024**2, "gib": 1024**3}
_AMOUNT: Final = re.compile(r"([0-9]{1,9})([a-z]{1,3})")

_BATCH_RULE: Final = f"write off, on, or max=N with N from 1 to {MAX_BATCH} rows, as in max=64"
_CACHE_RULE: Final = (
    "write off, or ttl=TIME and optionally size=BYTES, as in ttl=60s size=64MiB; "
    "TIME is from 100ms to 24h (ms, s, m, h), BYTES of each worker from 64KiB to 4GiB (KiB, MiB, GiB)"
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Caching:
    """Answers are kept for `ttl_seconds`, in at most `max_bytes` of each worker's memory."""

    ttl_seconds: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a model's tags ask for.

    `batch`: rows at most in one batch; None leaves it to the gateway, 0 is off. `batch_declared`: the tag was given and is
    not off, so that a model whose flavour does not say whether it takes several callers' rows at once counts as one that
    does. `cache`: None is off. `compile`: whether a compiled form may serve in the version's place.
    """

    batch: int | None = None
    batch_declared: bool = False
    cache: Caching | None = None
    compile: bool = True


PLAIN: Final = Tuning()
"""A model without any of these tags."""


def parse_tuning(tags: Mapping[str, str], before: Tuning = PLAIN) -> tuple[Tuning, tuple[str, ...]]:
    """Read a model's tags: what they ask for, and a sentence about each that is malformed.

    A malformed tag leaves in force what it said `before`; one that is gone has the default. Never raises.
    """
    problems: list[str] = []

    def read(key: str, parse: Callable[[str], T], kept: T, default: T) -> T:
        text = tags.get(key)
        if text is None:
            return default
        try:
            return parse(text.strip().lower())
        except InvalidTag as error:
            problems.append(str(error))
            return kept

    batch = read(names.TAG_BATCH, _batch, (before.batch, before.batch_declared), (None, False))
    cache = read(names.TAG_CACHE, _cache, before.cache, None)
    compiled = read(names.TAG_COMPILE, _compile, before.compile, default=True)
    return Tuning(*batch, cache, compiled), tuple(problems)


def tuning_tags(tuning: Tuning) -> dict[str, str]:
    """The tags that `parse_tuning` reads as `tuning`: what a model must have said, in one spelling."""
    tags = {}
    if tuning.batch is not None or tuning.batch_declared:
        tags[names.TAG_BATCH] = "on" if tuning.batch is None else f"max={tuning.batch}" if tuning.batch else "off"
    if tuning.cache is not None:
        millis, kibs = round(tuning.cache.ttl_seconds * 1000), tuning.cache.max_bytes // 1024
        tags[names.TAG_CACHE] = f"ttl={millis}ms size={kibs}KiB"
    if not tuning.compile:
        tags[names.TAG_COMPILE] = "off"
    return tags


def _batch(text: str) -> tuple[int | None, bool]:
    if text in _ON | _OFF:
        return (None, True) if text in _ON else (0, False)
    matched = re.fullmatch(r"max ?= ?([0-9]{1,5})", text)
    if matched is None or not 1 <= int(matched[1]) <= MAX_BATCH:
        raise InvalidTag(names.TAG_BATCH, _BATCH_RULE)
    return int(matched[1]), True


def _cache(text: str) -> Caching | None:
    if text in _OFF:
        return None
    caching = Caching(0.0, DEFAULT_CACHE)
    given = [part.partition("=") for part in text.replace(",", " ").split()]
    if sorted(key for key, _, _ in given) not in (["ttl"], ["size", "ttl"]):
        raise InvalidTag(names.TAG_CACHE, _CACHE_RULE)
    for key, _, amount in given:
        if key == "ttl":
            caching = replace(caching, ttl_seconds=_amount(amount, _TIMES, MIN_TTL, MAX_TTL) / 1000)
        else:
            caching = replace(caching, max_bytes=_amount(amount, _SIZES, MIN_CACHE, MAX_CACHE))
    return caching


def _amount(text: str, units: Mapping[str, int], least: int, most: int) -> int:
    matched = _AMOUNT.fullmatch(text)
    unit = units.get(matched[2]) if matched else None
    if matched is None or unit is None or not least <= int(matched[1]) * unit <= most:
        raise InvalidTag(names.TAG_CACHE, _CACHE_RULE)
    return int(matched[1]) * unit


def _compile(text: str) -> bool:
    if text not in _ON | _OFF:
        raise InvalidTag(names.TAG_COMPILE, "write on or off")
    return text in _ON
