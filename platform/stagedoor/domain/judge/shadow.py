"""The judge of a mirror: the same requests to both versions, so that only the candidate's deviations count.

Two guards, each a bet on one share of the pairs against a bound: answers that differ (a failed answer differs as well) against
`tolerance`, and failures where the stable version has answered against what a canary would allow. Mirrored requests that were
dropped for lack of room are no evidence.
"""

import math
from dataclasses import replace
from typing import Final, NamedTuple

from stagedoor.domain.evidence import ShadowCounts
from stagedoor.domain.judge import bets
from stagedoor.domain.judge.carried import BaseRates, Carried, added_shadow
from stagedoor.domain.judge.verdict import FUSE, Verdict, e_text, lacking
from stagedoor.domain.strategy import Rules

_ANYTHING: Final = 0.99
_UNKNOWN: Final = BaseRates(0.0, None)


class _Guard(NamedTuple):
    name: str
    bad: int
    bound: float


def judge_shadow(shadow: ShadowCounts, carried: Carried, rules: Rules, base: BaseRates = _UNKNOWN) -> Verdict:
    """What closed epochs and this one say of the mirrored version. It never freezes: each request goes to both.

    `base` tells how often the stable version fails. A `tolerance` of 0 forbids any difference: then nothing can prove the
    candidate alike, and a person finishes the rollout; a tolerance of 99 % or more leaves differences out of account.
    """
    books = carry_shadow(shadow, carried, rules, base)
    total = books.shadow
    numbers = _numbers(books, rules, base)
    told = (
        f"Of {total.pairs} mirrored requests {total.disagreed} were answered differently and {total.failed} failed: "
        f"evidence for alike {e_text(numbers['e_promote'])} of {1 / rules.beta:g}, for worse "
        f"{e_text(numbers['e_rollback'])} of {1 / rules.alpha:g}"
    )
    if total.failed == total.pairs >= FUSE:
        return Verdict("roll_back", f"All of the first {total.failed} mirrored requests failed.", numbers)
    if numbers["e_rollback"] >= 1 / rules.alpha or _over(total, rules):
        missing = lacking(total.pairs, total.disagreed + total.failed, rules)
        return (
            Verdict("hold", f"{told}. Waiting for {missing}.", numbers)
            if missing
            else Verdict("roll_back", f"{told}.", numbers)
        )
    if total.pairs < numbers["outcomes_needed"]:
        return Verdict("hold", f"{told}. Waiting for {numbers['outcomes_needed'] - total.pairs:g} more pairs.", numbers)
    if numbers["e_promote"] < 1 / rules.beta and rules.judge == "sequential":
        return Verdict("hold", f"{told}. Waiting for more pairs.", numbers)
    return Verdict("promote", f"{told}.", numbers)


def carry_shadow(shadow: ShadowCounts, carried: Carried, rules: Rules, base: BaseRates = _UNKNOWN) -> Carried:
    """Close an epoch of mirroring."""
    guards = _guards(shadow, rules, base)
    found = tuple(
        carried.of(one.name).after(
            bets.Tally(one.bad, 0, shadow.pairs - one.bad), bets.payoffs_alone(one.bound), bets.stakes_alone(one.bound)
        )
        for one in guards
    )
    others = tuple(one for one in carried.wealth if one.guard not in {guard.name for guard in guards})
    return replace(carried, wealth=(*others, *found), shadow=added_shadow(carried.shadow, shadow))


def _guards(shadow: ShadowCounts, rules: Rules, base: BaseRates) -> tuple[_Guard, ...]:
    # With nothing known of the stable version and no margin, as many may fail as may differ.
    failing = min(rules.rho * base.failures + rules.delta or rules.tolerance, _ANYTHING)
    failures = _Guard("shadow_failures", shadow.failed, failing)
    if rules.tolerance >= _ANYTHING:
        return (failures,)
    return _Guard("shadow_differences", shadow.disagreed + shadow.failed, rules.tolerance), failures


def _numbers(books: Carried, rules: Rules, base: BaseRates) -> dict[str, float]:
    total = books.shadow
    guards = _guards(total, rules, base)
    wealth = tuple(books.of(guard.name) for guard in guards)
    least = min(guard.bound for guard in guards)
    shown = math.ceil(-math.log(rules.beta) / least) if least > 0 and rules.judge == "sequential" else 0
    return {
        "e_rollback": sum(one.e_against for one in wealth) / len(wealth),
        "e_promote": min(one.e_on for one in wealth),
        **{f"e_rollback_{one.guard}": one.e_against for one in wealth},
        **{f"e_promote_{one.guard}": one.e_on for one in wealth},
        "outcomes": total.pairs,
        "failures": total.failed,
        "differences": total.disagreed,
        "dropped": total.dropped,
        "outcomes_needed": max(shown, rules.min_outcomes, 1),
    }


def _over(total: ShadowCounts, rules: Rules) -> bool:
    """Over a fixed bound, for those who asked for fixed bounds."""
    different = total.disagreed + total.failed
    over = different > rules.tolerance * total.pairs or total.failed > rules.max_errors * total.pairs
    return rules.judge == "thresholds" and over
