"""What a rollout takes along from epoch to epoch: the wealth of every bet, and what was counted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from stagedoor.domain.confidence import finite_exp
from stagedoor.domain.evidence import NONE, Counts, ShadowCounts
from stagedoor.domain.judge.bets import (
    DESIGNS,
    PRIOR,
    PROMOTE_PRIOR,
    PROMOTE_STAKES,
    Payoffs,
    Tally,
    log_wealth,
    mixed,
    promote_stakes,
)


@dataclass(frozen=True, slots=True)
class BaseRates:
    """The stable version's rates known before an epoch. They choose the stakes; wrong ones cost power, never the error bound.

    `slow` is None if this rollout has no latency guard.
    """

    failures: float
    slow: float | None


@dataclass(frozen=True, slots=True)
class Wealth:
    """Log wealth of one guard's bets: against the candidate (by design) and on it (by stake)."""

    guard: str
    against: tuple[float, ...] = (0.0,) * len(DESIGNS)
    on: tuple[float, ...] = (0.0,) * len(PROMOTE_STAKES)

    @property
    def e_against(self) -> float:
        """The e-value against the candidate."""
        return finite_exp(mixed(self.against, PRIOR))

    @property
    def e_on(self) -> float:
        """The e-value against the candidate being worse than the margin."""
        return finite_exp(mixed(self.on, PROMOTE_PRIOR))

    def after(self, tally: Tally, pays: Payoffs, stakes: tuple[float, ...]) -> "Wealth":
        """Multiplied by what these outcomes pay, with `stakes` against the candidate."""
        against = log_wealth(tally, pays, stakes)
        on = log_wealth(tally, pays, promote_stakes(pays))
        return Wealth(self.guard, _sums(self.against, against), _sums(self.on, on))


NO_PAIRS: Final = ShadowCounts()


@dataclass(frozen=True, slots=True)
class Carried:
    """Everything that closed epochs leave behind. The guards in it are those of the rollout, chosen when it first carried.

    `ratio` is the log e-value of the sample ratio; `candidate`, `stable` and `shadow` are what was counted in all.
    """

    wealth: tuple[Wealth, ...] = ()
    ratio: float = 0.0
    candidate: Counts = NONE
    stable: Counts = NONE
    shadow: ShadowCounts = NO_PAIRS

    def of(self, guard: str) -> Wealth:
        """The wealth of one guard: that of a beginning, if it has none yet."""
        return next((one for one in self.wealth if one.guard == guard), Wealth(guard))

    def to_json(self) -> dict[str, Any]:
        """As JSON; `from_json` reads it."""
        return {
            "wealth": {one.guard: [list(one.against), list(one.on)] for one in self.wealth},
            "ratio": self.ratio,
            "candidate": asdict(self.candidate),
            "stable": asdict(self.stable),
            "shadow": asdict(self.shadow),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote. Raises KeyError, TypeError and ValueError for anything else."""
        return cls(
            tuple(_wealth(guard, *logs) for guard, logs in data["wealth"].items()),
            float(data["ratio"]),
            Counts(**_whole(data["candidate"])),
            Counts(**_whole(data["stable"])),
            ShadowCounts(**_whole(data["shadow"])),
        )


START: Final = Carried()
"""Before the first epoch."""


def added(one: Counts, other: Counts) -> Counts:
    """Counts of two epochs together."""
    return Counts(one.assigned + other.assigned, one.ok + other.ok, one.failed + other.failed, one.slow + other.slow)


def added_shadow(one: ShadowCounts, other: ShadowCounts) -> ShadowCounts:
    """Counts of two epochs of a mirror together."""
    return ShadowCounts(
        one.agreed + other.agreed,
        one.disagreed + other.disagreed,
        one.failed + other.failed,
        one.dropped + other.dropped,
    )


def _sums(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _wealth(guard: str, against: list[float], on: list[float]) -> Wealth:
    if len(against) != len(DESIGNS) or len(on) != len(PROMOTE_STAKES):
        raise ValueError("the bets are of another kind than those made here")
    return Wealth(guard, tuple(map(float, against)), tuple(map(float, on)))


def _whole(data: Mapping[str, Any]) -> dict[str, int]:
    if any(type(value) is not int or value < 0 for value in data.values()):
        raise ValueError("counts are whole numbers from 0")
    return dict(data)
