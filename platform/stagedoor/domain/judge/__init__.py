"""What the evidence says of a candidate: promote, roll back, hold or freeze. Pure functions over counts.

The sequential judge bets against the candidate being no worse (and, the other way, against it being worse by a margin). Its
wealth is an e-process: it reaches 1/alpha with probability at most alpha if the candidate is no worse, however often one looks,
whatever traffic and rates do, with weights that change from epoch to epoch (Ville's inequality). The unit that is counted must
be the unit that was drawn, the versions must be warm, and the weight must be the one that the router really uses.
"""

from stagedoor.domain.judge.carried import START, BaseRates, Carried, Wealth
from stagedoor.domain.judge.sequential import carry, judge
from stagedoor.domain.judge.shadow import carry_shadow, judge_shadow
from stagedoor.domain.judge.thresholds import judge_switched
from stagedoor.domain.judge.verdict import Verdict

__all__ = [
    "START",
    "BaseRates",
    "Carried",
    "Verdict",
    "Wealth",
    "carry",
    "carry_shadow",
    "judge",
    "judge_shadow",
    "judge_switched",
]
