"""Fixed bounds on one version alone, as other canary tools have them: no error bound, no comparison with the stable version.

For those who ask for it (`judge=thresholds`), and for versions that were switched at once, which have nothing beside them.
"""

from collections.abc import Mapping
from typing import Final

from stagedoor.domain.evidence import NONE, Counts
from stagedoor.domain.judge.verdict import Verdict, blown, blown_reason, lacking
from stagedoor.domain.strategy import Rules

SLOW_SHARE: Final = 0.01
"""More slow answers than this put the 99th percentile over the bound."""


def judge_switched(counts: Counts, rules: Rules, *, elapsed: float, bake: float) -> Verdict:
    """A version that got all traffic at once `elapsed` seconds ago, watched for `bake` seconds.

    Rolls back at once when it is over a bound, promotes when it has baked and has enough outcomes; without data it holds.
    """
    verdict = judge_thresholds(counts, rules)
    if verdict.kind != "promote" or elapsed >= bake:
        return verdict
    return Verdict("hold", f"{verdict.reason} It is watched for {bake - elapsed:.0f} s more.", verdict.numbers)


def judge_thresholds(counts: Counts, rules: Rules, stable: Counts = NONE) -> Verdict:
    """One arm in one epoch against `rules.max_errors` and `rules.max_latency`. `stable` only holds back the fuse."""
    numbers = arm_numbers(counts)
    if blown(counts, stable):
        return Verdict("roll_back", blown_reason(counts), numbers)
    over = _over(counts, rules)
    missing = lacking(counts.outcomes, max(counts.failed, counts.slow), rules)
    if over and missing is None:
        return Verdict("roll_back", over, numbers)
    if over:
        return Verdict("hold", f"{over} Waiting for {missing}.", numbers)
    least = max(rules.min_outcomes, 1)
    if counts.outcomes < least:
        return Verdict("hold", f"Waiting for {least - counts.outcomes} more outcomes of the candidate.", numbers)
    return Verdict("promote", f"{_failed(counts)}: within the bounds.", numbers)


def arm_numbers(counts: Counts) -> Mapping[str, float]:
    """What was counted of the candidate."""
    rate = counts.failed / counts.outcomes if counts.outcomes else 0.0
    return {"outcomes": counts.outcomes, "failures": counts.failed, "slow": counts.slow, "failure_rate": rate}


def _over(counts: Counts, rules: Rules) -> str | None:
    n = counts.outcomes
    if n and counts.failed > rules.max_errors * n:
        return f"{_failed(counts)}, more than {rules.max_errors:.2%}."
    if n and rules.max_latency is not None and counts.slow > SLOW_SHARE * n:
        return f"{counts.slow} of {n} outcomes took longer than {rules.max_latency:g} s, more than {SLOW_SHARE:.0%}."
    return None


def _failed(counts: Counts) -> str:
    return f"{counts.failed} of {counts.outcomes} outcomes failed"
