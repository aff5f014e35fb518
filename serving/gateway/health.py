"""Is this machine fit to answer? Pure judgement over what was read elsewhere."""

from dataclasses import dataclass
from typing import Final, Literal

Status = Literal["healthy", "degraded", "unhealthy"]

HTTP_STATUS: Final = {"healthy": 200, "degraded": 200, "unhealthy": 503}
"""A degraded gateway still answers, so that no load balancer may take it out."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What health is judged by. `staleness` is seconds since MLflow was last read well, None if never."""

    serial: int
    workers: int
    staleness: float | None
    registry_error: str | None = None
    refused: int = 0
    problems: int = 0
    registry_empty: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """The judgement, with one sentence for each reason. Reasons name no model: they are shown without a token."""

    status: Status
    reasons: tuple[str, ...]


def is_ready(signs: Signs) -> bool:
    """Whether requests can be answered: a snapshot is applied, or the registry was read and is truly empty."""
    return signs.serial > 0 or signs.registry_empty


def judge_health(signs: Signs, stale_after: float) -> Health:
    """Unhealthy cannot serve; degraded serves what it last knew, or not all that was asked for."""
    fatal = _fatal(signs)
    if fatal:
        return Health("unhealthy", tuple(fatal))
    doubts = _doubts(signs, stale_after)
    return Health("degraded" if doubts else "healthy", tuple(doubts))


def _fatal(signs: Signs) -> list[str]:
    reasons = []
    if not is_ready(signs):
        reasons.append("No snapshot has been applied yet: the resolver has not read the registry, or is not running.")
    if signs.workers < 1:
        reasons.append("No gateway worker reports in.")
    return reasons


def _doubts(signs: Signs, stale_after: float) -> list[str]:
    reasons = []
    if signs.staleness is None:
        reasons.append("The registry has not been read since the start; the last snapshot is served.")
    elif signs.staleness > stale_after:
        reasons.append(f"The registry was last read {signs.staleness:.0f} seconds ago; the last snapshot is served.")
    if signs.refused:
        were = "version was" if signs.refused == 1 else "versions were"
        reasons.append(f"{signs.refused} {were} refused; `stagedoor status` says why.")
    if signs.problems:
        are = "wish of the registry is" if signs.problems == 1 else "wishes of the registry are"
        reasons.append(f"{signs.problems} {are} not fulfilled; `stagedoor status` says which.")
    return reasons
