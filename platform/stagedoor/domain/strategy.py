"""How a new version takes over: the tag `stagedoor.rollout`, a word and settings, short enough to type in MLflow's UI."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Literal, Self, cast, get_args

from stagedoor import names
from stagedoor.domain.traffic import WHOLE
from stagedoor.errors import InvalidTag

Kind = Literal["canary", "shadow", "blue-green", "rolling", "immediate"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the judge goes by. Shares and rates are fractions of 1, times seconds.

    `sequential`: the e-process with error bounds `alpha` (false rollback) and `beta` (false promotion); the candidate is no
    worse if its badness is at most `rho` times the stable one's plus `delta` (failures) or `delta_latency` (slow answers).
    `thresholds`: bad if more than `max_errors` fail, or more than 1 % take longer than `max_latency`, of at least
    `min_outcomes`. `max_latency`, if set, is also what the sequential judge calls slow. `tolerance` is the share of a shadow's
    answers that may differ.
    """

    judge: Literal["sequential", "thresholds"] = "sequential"
    alpha: float = 0.05
    beta: float = 0.05
    rho: float = 1.0
    delta: float = 0.005
    delta_latency: float = 0.01
    min_outcomes: int = 50
    min_failures: int = 3
    max_errors: float = 0.05
    max_latency: float | None = None
    tolerance: float = 0.01


@dataclass(frozen=True, slots=True)
class Strategy:
    """One rollout's plan.

    `steps` are the candidate's shares in basis points, the last one 10,000. A step lasts at least `interval` seconds and
    `outcomes` outcomes of the candidate. After `deadline` seconds without a verdict the rollout holds, and says so. `bake`
    is how long a switched version (blue-green, rolling) is watched by thresholds before it counts as promoted.
    """

    kind: Kind = "canary"
    steps: tuple[int, ...] = (100, 500, 2500, 5000, WHOLE)
    interval: float = 30.0
    outcomes: int = 50
    deadline: float = 86_400.0
    bake: float = 60.0
    rules: Rules = field(default_factory=Rules)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `canary`, or `canary steps=5,25,100 interval=60s alpha=0.01`. Raises InvalidTag that says how to write it."""
        kind, *settings = text.split() or [""]
        if kind not in KINDS:
            raise InvalidTag(
                names.TAG_ROLLOUT, f"begin with one of {', '.join(KINDS)}, as in canary steps=5,25,100 interval=60s"
            )
        strategy = cls(cast("Kind", kind))
        own: dict[str, Any] = {}
        rules: dict[str, Any] = {}
        for setting in settings:
            key, _, value = setting.partition("=")
            if key in _OWN:
                own[key] = _read(key, value, _OWN[key])
            elif key in _RULES:
                rules[key] = _read(key, value, _RULES[key])
            else:
                raise InvalidTag(names.TAG_ROLLOUT, f"knows the settings {', '.join((*_OWN, *_RULES))}")
        return replace(strategy, **own, rules=replace(strategy.rules, **rules))


_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)?")
_UNITS: Final = MappingProxyType({"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0})


def read_duration(text: str) -> float:
    """Seconds of `500ms`, `30s`, `10m`, `24h`, `7d` or a plain number. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("write a duration as 500ms, 30s, 10m, 24h or 7d")
    return float(found[1]) * _UNITS[found[2]]


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:  # noqa: PLR2004  per cent
        raise ValueError("write a percentage between 0 and 100")
    return value / 100


def _probability(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ValueError("write a probability between 0 and 1")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1000:  # noqa: PLR2004  a ratio beyond this is a slip
        raise ValueError("write a ratio above 0")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:  # noqa: PLR2004  a bound before any arithmetic
        raise ValueError("write a whole number")
    return int(text)


def _steps(text: str) -> tuple[int, ...]:
    points = [round(_percent(part.removesuffix("%")) * WHOLE) for part in text.split(",")]
    if any(later <= earlier for earlier, later in pairwise(points)) or points[0] <= 0:
        raise ValueError("write growing percentages, as in steps=1,5,25,50,100")
    return tuple(points) if points[-1] == WHOLE else (*points, WHOLE)


def _judge(text: str) -> str:
    if text not in {"sequential", "thresholds"}:
        raise ValueError("write sequential or thresholds")
    return text


Reader = Callable[[str], Any]
_OWN: Final[Mapping[str, Reader]] = MappingProxyType(
    {"steps": _steps, "interval": read_duration, "outcomes": _count, "deadline": read_duration, "bake": read_duration}
)
_RULES: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "judge": _judge,
        "alpha": _probability,
        "beta": _probability,
        "rho": _positive,
        "delta": _percent,
        "delta_latency": _percent,
        "min_outcomes": _count,
        "min_failures": _count,
        "max_errors": _percent,
        "max_latency": read_duration,
        "tolerance": _percent,
    }
)


def _read(key: str, value: str, read: Reader) -> object:
    try:
        return read(value)
    except ValueError as error:
        how = str(error) if str(error).startswith("write") else "write a number"
        raise InvalidTag(names.TAG_ROLLOUT, f"{key}: {how}") from error
