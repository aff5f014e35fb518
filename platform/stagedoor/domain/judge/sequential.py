"""The judge of a split: bets on every guard, a check of the sample ratio, and what follows from both."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from stagedoor import names
from stagedoor.domain.confidence import RATIO_ALPHA, finite_exp, log_ratio
from stagedoor.domain.evidence import Counts, Evidence
from stagedoor.domain.judge import bets
from stagedoor.domain.judge.carried import BaseRates, Carried, Wealth, added
from stagedoor.domain.judge.thresholds import arm_numbers, judge_thresholds
from stagedoor.domain.judge.verdict import Verdict, blown, blown_reason, e_text, lacking
from stagedoor.domain.strategy import Rules


@dataclass(frozen=True, slots=True)
class Guard:
    """One kind of badness. `weight` is its part of the wealth against the candidate, relative to the guards present."""

    name: str
    what: str
    weight: float
    bad: Callable[[Counts], int]
    margin: Callable[[Rules], float]
    base: Callable[[BaseRates], float | None]


GUARDS: Final = (
    Guard("failures", "failed", 0.5, lambda c: c.failed, lambda r: r.delta, lambda b: b.failures),
    Guard("latency", "were slow", 0.3, lambda c: min(c.slow, c.outcomes), lambda r: r.delta_latency, lambda b: b.slow),
    # Quality (weight 0.2) takes its place here once labels arrive: counts of bad answers, a margin, a base rate.
)


def judge(  # noqa: PLR0913  everything that a verdict rests on
    evidence: Evidence,
    carried: Carried,
    rules: Rules,
    share: float,
    base: BaseRates,
    *,
    stable_arm: str = names.CHAMPION,
    candidate_arm: str = names.ARM_CANDIDATE,
    drift: float | None = None,
) -> Verdict:
    """What the evidence of closed epochs (`carried`) and of this one says of the candidate.

    `share` is the candidate's known probability in this epoch. At 0 or 1 there is nothing to compare, and the epoch adds no
    evidence. `drift`, an e-value (`confidence.ratio_alarm` over frozen bins of the predictions), can only turn a promotion
    into a hold. Promotion asks every guard to be shown no worse than its margin; with a margin of 0 that means better, which
    two equal versions never are: then a person finishes the rollout.
    """
    books = carry(evidence, carried, rules, share, base, stable_arm=stable_arm, candidate_arm=candidate_arm)
    numbers = _numbers(books, rules, base)
    mismatch = books.ratio >= -math.log(RATIO_ALPHA)
    frozen = Verdict(
        "freeze",
        f"The arms got other shares than the route gives them (E = {e_text(numbers['e_ratio'])}, alarm at "
        f"{1 / RATIO_ALPHA:g}): what was counted proves nothing. Find out why, then start anew.",
        numbers,
    )
    if rules.judge == "thresholds":
        verdict = judge_thresholds(evidence.of(candidate_arm), rules, evidence.of(stable_arm))
        return frozen if mismatch and verdict.kind == "promote" else replace(verdict, numbers={**numbers, **verdict.numbers})
    if blown(books.candidate, books.stable):
        return Verdict("roll_back", blown_reason(books.candidate), numbers)
    if mismatch:
        return frozen
    return _against(books, rules, numbers) or _for(books, rules, numbers, drift)


def carry(  # noqa: PLR0913  the same
    evidence: Evidence,
    carried: Carried,
    rules: Rules,
    share: float,
    base: BaseRates,
    *,
    stable_arm: str = names.CHAMPION,
    candidate_arm: str = names.ARM_CANDIDATE,
) -> Carried:
    """Close an epoch: what it leaves to the next ones. Each design's wealth is multiplied, each with stakes of this epoch."""
    candidate, stable = evidence.of(candidate_arm), evidence.of(stable_arm)
    guards = _present(carried, base)
    epoch = _Epoch(candidate, stable, share, base)
    found = tuple(_grown(guard, carried.of(guard.name), epoch, rules) for guard in guards)
    others = tuple(one for one in carried.wealth if one.guard not in {guard.name for guard in guards})
    split = 0 < share < 1
    drawn = log_ratio((candidate.assigned, stable.assigned), (share, 1 - share)) if split else 0.0
    return replace(
        carried,
        wealth=(*found, *others),
        ratio=carried.ratio + drawn,
        candidate=added(carried.candidate, candidate),
        stable=added(carried.stable, stable),
    )


def _present(carried: Carried, base: BaseRates) -> tuple[Guard, ...]:
    """The rollout's guards: fixed by its first epoch, for wealth moved between guards later would void the bound."""
    chosen = {one.guard for one in carried.wealth}
    kept = tuple(guard for guard in GUARDS if guard.name in chosen)
    return kept or tuple(guard for guard in GUARDS if guard.base(base) is not None)


@dataclass(frozen=True, slots=True)
class _Epoch:
    candidate: Counts
    stable: Counts
    share: float
    base: BaseRates


def _grown(guard: Guard, wealth: Wealth, epoch: _Epoch, rules: Rules) -> Wealth:
    rate, margin = guard.base(epoch.base), guard.margin(rules)
    if not 0 < epoch.share < 1 or rate is None:
        return wealth
    bad, stable_bad = guard.bad(epoch.candidate), guard.bad(epoch.stable)
    tally = bets.Tally(bad, stable_bad, epoch.candidate.outcomes + epoch.stable.outcomes - bad - stable_bad)
    pays = bets.payoffs(epoch.share, rules.rho, margin)
    return wealth.after(tally, pays, bets.stakes(epoch.share, rate, rules.rho, margin))


def _numbers(books: Carried, rules: Rules, base: BaseRates) -> dict[str, float]:
    guards = _present(books, base)
    whole = sum(guard.weight for guard in guards)
    against = {guard.name: books.of(guard.name).e_against for guard in guards}
    on = {guard.name: books.of(guard.name).e_on for guard in guards}
    return {
        "e_rollback": sum(guard.weight / whole * against[guard.name] for guard in guards),
        "e_promote": min(on.values()),
        "e_ratio": finite_exp(books.ratio),
        **{f"e_rollback_{name}": value for name, value in against.items()},
        **{f"e_promote_{name}": value for name, value in on.items()},
        **arm_numbers(books.candidate),
        **{f"stable_{name}": value for name, value in arm_numbers(books.stable).items()},
        "outcomes_needed": max(_needed(guard, rules) for guard in guards),
    }


def _needed(guard: Guard, rules: Rules) -> int:
    """The least number of the candidate's outcomes that a promotion asks for."""
    margin = guard.margin(rules)
    shown = math.ceil(-math.log(rules.beta) / margin) if margin > 0 else 0
    return max(shown, rules.min_outcomes, 1)


def _against(books: Carried, rules: Rules, numbers: dict[str, float]) -> Verdict | None:
    """A rollback, or a hold for want of the least evidence; None while the candidate stands."""
    if numbers["e_rollback"] < 1 / rules.alpha:
        return None
    worst = max(
        (g for g in GUARDS if f"e_rollback_{g.name}" in numbers), key=lambda g: g.weight * numbers[f"e_rollback_{g.name}"]
    )
    told = (
        f"{worst.bad(books.candidate)} of {books.candidate.outcomes} outcomes of the candidate {worst.what}, against "
        f"{worst.bad(books.stable)} of {books.stable.outcomes} of the stable version: E = {e_text(numbers['e_rollback'])}, "
        f"rolled back at {1 / rules.alpha:g}."
    )
    missing = lacking(books.candidate.outcomes, max(guard.bad(books.candidate) for guard in GUARDS), rules)
    if missing:
        return Verdict("hold", f"{told} Waiting for {missing}.", numbers)
    return Verdict("roll_back", told, numbers)


def _for(books: Carried, rules: Rules, numbers: dict[str, float], drift: float | None) -> Verdict:
    """A promotion, or what it waits for."""
    outcomes, needed = books.candidate.outcomes, round(numbers["outcomes_needed"])
    if not outcomes:
        return Verdict("hold", "No outcomes of the candidate yet.", numbers)
    told = (
        f"{books.candidate.failed} of {outcomes} outcomes of the candidate failed, against {books.stable.failed} of "
        f"{books.stable.outcomes} of the stable version"
    )
    proof = (
        f"evidence for no worse {e_text(numbers['e_promote'])} of {1 / rules.beta:g}, for worse "
        f"{e_text(numbers['e_rollback'])} of {1 / rules.alpha:g}"
    )
    if outcomes < needed:
        return Verdict("hold", f"{told}: {proof}. Waiting for {needed - outcomes} more outcomes.", numbers)
    if numbers["e_promote"] < 1 / rules.beta:
        return Verdict("hold", f"{told}: {proof}. Waiting for more outcomes.", numbers)
    if drift is not None and drift >= 1 / RATIO_ALPHA:
        return Verdict("hold", f"{told}: {proof}; but its predictions drift (E = {e_text(drift)}). Look at them.", numbers)
    return Verdict("promote", f"{told}: {proof}.", numbers)
