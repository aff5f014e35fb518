"""What the judge reaches, simulated with its own stakes and payoffs: false rollbacks, requests until rollback and promotion.

    python tests/benchmarks/judge_power.py [--runs 10000] [--json FILE]

Every figure counts the candidate's own outcomes, with a look at every request. The fuse is left out: it ends some runs sooner.
The oracle's figures are those the judge has to come near: a sequential probability ratio test that knows the candidate's rate.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from judge_simulation import Case, promotions, rollbacks
from rig import print_table

from stagedoor.domain.judge.sequential import GUARDS
from stagedoor.domain.strategy import Rules

RULES = Rules()
SHARES = (0.5, 0.1)
BASE_RATES = (0.001, 0.01, 0.1)
HORIZON = 10_000
TARGET_FALSE, TARGET_RATIO = 0.05, 1.4
CHANGES = (
    ("errors 1 -> 2 %", 0.01, 0.02, {0.5: 1763, 0.1: 887}),
    ("slow 1 -> 3 %", 0.01, 0.03, {0.5: 573, 0.1: 270}),
    ("errors 1 -> 5 %", 0.01, 0.05, {0.5: 206, 0.1: 90}),
    ("errors 5 -> 50 %", 0.05, 0.5, {0.5: 14, 0.1: 6}),
)
Row = dict[str, Any]


def shipped(case: Case, guard: int) -> Case:
    """The same versions under the rules as they come, with that guard alone."""
    return replace(
        case,
        delta=GUARDS[guard].margin(RULES),
        rho=RULES.rho,
        min_outcomes=RULES.min_outcomes,
        min_failures=RULES.min_failures,
        alpha=RULES.alpha,
        beta=RULES.beta,
    )


def beside(case: Case, guard: int) -> Case:
    """The same with both guards, of which the other one finds nothing."""
    return replace(case, part=GUARDS[guard].weight / sum(one.weight for one in GUARDS))


def false_rollbacks(runs: int) -> list[Row]:
    """How often two equal versions end in a rollback within the horizon."""
    rows = []
    for share in SHARES:
        for rate in BASE_RATES:
            plain = Case(rate, rate, share)
            rows.append(
                {
                    "share": share,
                    "base_rate": rate,
                    "delta_0": rolled_back(plain, runs),
                    "shipped": rolled_back(shipped(plain, 0), runs),
                }
            )
    return rows


def rolled_back(case: Case, runs: int) -> float:
    """The part of the runs that ended in a rollback."""
    return float(np.isfinite(rollbacks(case, runs, seed=1, horizon=HORIZON)).mean())


def until_rollback(runs: int) -> list[Row]:
    """Mean candidate outcomes until a worse version is rolled back."""
    rows = []
    for share in SHARES:
        for name, before, after, oracle in CHANGES:
            plain = Case(before, after, share)
            guard = 1 if name.startswith("slow") else 0
            found = rollbacks(plain, runs, seed=2)
            rows.append(
                {
                    "share": share,
                    "change": name,
                    "mean": float(found.mean()),
                    "standard_error": float(found.std() / runs**0.5),
                    "oracle": oracle[share],
                    "ratio": float(found.mean() / oracle[share]),
                    "shipped_alone": float(rollbacks(shipped(plain, guard), runs, seed=3).mean()),
                    "shipped_both": float(rollbacks(beside(shipped(plain, guard), guard), runs, seed=4).mean()),
                }
            )
    return rows


def until_promotion(runs: int) -> list[Row]:
    """Candidate outcomes until an equal version is promoted under the shipped rules; how often one at the margin is."""
    rows = []
    for share in SHARES:
        for rate in BASE_RATES:
            for guard in (0, 1):
                equal = shipped(Case(rate, rate, share), guard)
                found = promotions(equal, runs, seed=5, horizon=400_000)
                worse = replace(equal, candidate=rate + equal.delta)
                false = np.isfinite(promotions(worse, runs, seed=6, horizon=HORIZON)).mean()
                rows.append(
                    {
                        "share": share,
                        "base_rate": rate,
                        "guard": GUARDS[guard].name,
                        "median": float(np.median(found)),
                        "p90": float(np.percentile(found, 90)),
                        "false": float(false),
                    }
                )
    return rows


def show(title: str, rows: list[Row]) -> None:
    """One table; a figure that misses its target is marked."""
    columns = list(rows[0])
    print_table(title, columns, [[text(column, row[column]) for column in columns] for row in rows])


def text(column: str, value: object) -> str:
    """A cell."""
    if not isinstance(value, float):
        return str(value)
    missed = (column in {"delta_0", "shipped", "false"} and value > TARGET_FALSE) or (
        column == "ratio" and value > TARGET_RATIO
    )
    return f"{value:,.4g}{' MISSED' if missed else ''}" if value < 1000 else f"{value:,.0f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    found = {
        "runs": options.runs,
        "false_rollbacks": false_rollbacks(options.runs),
        "until_rollback": until_rollback(options.runs),
        "until_promotion": until_promotion(max(options.runs // 10, 1)),
    }
    show(
        f"False rollbacks within {HORIZON:,} candidate outcomes (target: at most {TARGET_FALSE:.0%})", found["false_rollbacks"]
    )
    show(f"Candidate outcomes until rollback (target: at most {TARGET_RATIO} times the oracle)", found["until_rollback"])
    show("Candidate outcomes until promotion of an equal version, shipped rules", found["until_promotion"])
    print(f"{options.runs:,} runs for each figure, {time.monotonic() - began:.0f} s.")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
