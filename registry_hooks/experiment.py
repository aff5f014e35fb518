"""The report on a split by hand (A/B): how each arm does, how sure one may be of it, and whether the split is sound.

Pure. Rates are of failures among outcomes: model errors, invalid outputs and timeouts. Of a sticky split each user counts
once, by the first outcome, since users were drawn and not requests; of any other split each request.
"""

from typing import Any, Final

from stagedoor.domain.confidence import difference_interval, ratio_alarm
from stagedoor.domain.evidence import Counts, Evidence
from stagedoor.domain.traffic import WHOLE, Arm, Route

ALPHA: Final = 0.05
"""The chance that any of the intervals is ever wrong, however often one looks."""

Json = dict[str, Any]


def report(model: str, route: Route, evidence: Evidence | None, alpha: float = ALPHA) -> Json:
    """The report as JSON: `arms`, the first of them the one that the others are compared with; `ratio`; `advice`.

    Of each arm: `units` (users or requests given to it), `outcomes`, `failures`, `rate` (None without outcomes) and, but for
    the first, `difference` from the first arm's rate with an interval that holds at every moment at once (each at
    alpha / comparisons). Shares and rates are fractions of 1.
    """
    found = evidence if evidence is not None else Evidence(route.epoch)
    counts = {arm.name: found.of(arm.name) for arm in route.arms}
    level = alpha / max(1, len(route.arms) - 1)
    stable = counts[route.stable.name]
    rows = [_row(arm, counts[arm.name], None if arm is route.stable else stable, level) for arm in route.arms]
    shares = {arm.name: arm.weight / WHOLE for arm in route.arms}
    e_value, alarm = ratio_alarm({name: count.assigned for name, count in counts.items()}, shares)
    unit = "users" if route.sticky is not None else "requests"
    return {
        "model": model,
        "epoch": route.epoch,
        "sticky": str(route.sticky) if route.sticky is not None else None,
        "unit": unit,
        "alpha": alpha,
        "arms": rows,
        "ratio": {"e_value": e_value, "alarm": alarm},
        "advice": _advice(rows, unit, alarm=alarm),
    }


def _row(arm: Arm, counts: Counts, stable: Counts | None, alpha: float) -> Json:
    row: Json = {
        "arm": arm.name,
        "version": arm.version,
        "share": arm.weight / WHOLE,
        "units": counts.assigned,
        "outcomes": counts.outcomes,
        "failures": counts.failed,
        "rate": _rate(counts),
    }
    return row if stable is None else row | {"difference": _difference(counts, stable, alpha)}


def _rate(counts: Counts) -> float | None:
    return counts.failed / counts.outcomes if counts.outcomes else None


def _difference(counts: Counts, stable: Counts, alpha: float) -> Json:
    low, high = difference_interval((counts.outcomes, counts.failed), (stable.outcomes, stable.failed), alpha)
    rate, other = _rate(counts), _rate(stable)
    return {"value": None if rate is None or other is None else rate - other, "low": low, "high": high}


def _advice(rows: list[Json], unit: str, *, alarm: bool) -> str:
    if alarm:
        return (
            f"The arms get other shares of the {unit} than they were meant to, so the rates cannot be compared. "
            "Look for retries, caches in front of the gateway, or callers that are counted in one arm only."
        )
    first, *others = rows
    if any(not row["outcomes"] for row in rows):
        return f"At least one arm has no outcomes yet. Wait for {unit}."
    return " ".join(_compared(row, first["arm"]) for row in others)


def _compared(row: Json, first: str) -> str:
    low, high = row["difference"]["low"], row["difference"]["high"]
    who = f"{row['arm']} (version {row['version']})"
    if low > 0:
        return f"{who} fails more often than {first}, by {_points(low)} to {_points(high)} points. Take its traffic away."
    if high < 0:
        return f"{who} fails less often than {first}, by {_points(-high)} to {_points(-low)} points. It can take over."
    return (
        f"{who} and {first} cannot be told apart yet: the difference lies between {_points(low)} and {_points(high)} points. "
        "Wait, or decide on other grounds if so much does not matter."
    )


def _points(share: float) -> str:
    return f"{share * 100:.3g}"
