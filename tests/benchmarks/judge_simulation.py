"""Many rollouts at once, in numpy, with the stakes and payoffs of the judge itself. A test holds it against `judge`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stagedoor.domain.judge import bets

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Requests fail (or are slow) with rate `stable` and `candidate`; the candidate gets `share` of them.

    `part` is the guard's part of the wealth. By default there is no margin and no least evidence. `known` is the rate that
    the stakes are chosen for: the stable one, if it is None.
    """

    stable: float
    candidate: float
    share: float
    delta: float = 0.0
    rho: float = 1.0
    part: float = 1.0
    min_outcomes: int = 0
    min_failures: int = 0
    alpha: float = 0.05
    beta: float = 0.05
    known: float | None = None

    @property
    def payoffs(self) -> bets.Payoffs:
        """What outcomes pay."""
        return bets.payoffs(self.share, self.rho, self.delta)

    @property
    def stakes(self) -> Floats:
        """Stakes against the candidate."""
        known = self.stable if self.known is None else self.known
        return np.array(bets.stakes(self.share, known, self.rho, self.delta))


def e_values(counts: Floats, pays: bets.Payoffs, stakes: Floats, prior: tuple[float, ...]) -> Floats:
    """The mixture's e-value for each row of `counts`: bad, stable bad, good."""
    return np.asarray(np.exp(counts @ np.log1p(np.outer(pays, stakes))) @ np.array(prior))


def rollbacks(case: Case, runs: int, seed: int, horizon: float = np.inf) -> Floats:
    """The candidate's outcomes at rollback in each run; infinite where there was none up to `horizon`.

    Wealth can only cross the bound at a bad outcome of the candidate, so that it is enough to draw those moments: this is the
    same as a look at every request. The fuse stays out of it.
    """
    rng = np.random.default_rng(seed)
    counts, outcomes = _beginning(case, runs, rng)
    stops = np.full(runs, np.inf)
    ready = (_against(case, counts) >= 1 / case.alpha) & (counts[:, 0] >= case.min_failures) & (case.min_outcomes > 0)
    stops[ready] = case.min_outcomes
    live = np.flatnonzero(~ready)
    bad = case.share * case.candidate + (1 - case.share) * case.stable
    good_candidate = case.share * (1 - case.candidate) / (1 - bad)
    while live.size:
        gap = rng.geometric(bad, live.size) - 1
        candidate = rng.random(live.size) < case.share * case.candidate / bad
        outcomes[live] += rng.binomial(gap, good_candidate) + candidate
        counts[live] += np.column_stack((candidate, ~candidate, gap))
        crossed = candidate & (_against(case, counts[live]) >= 1 / case.alpha) & (counts[live, 0] >= case.min_failures)
        over = outcomes[live] > horizon
        stops[live[crossed & ~over]] = outcomes[live[crossed & ~over]]
        live = live[~crossed & ~over]
    return stops


def promotions(case: Case, runs: int, seed: int, horizon: int, look: int = 50) -> Floats:
    """The candidate's outcomes at promotion in each run, with a look at every `look` of them; infinite where there was none."""
    rng = np.random.default_rng(seed)
    pays = case.payoffs
    stakes = np.array(bets.promote_stakes(pays))
    least = max(-np.log(case.beta) / case.delta if case.delta else 0.0, case.min_outcomes)
    counts, stops, live = np.zeros((runs, 3)), np.full(runs, np.inf), np.arange(runs)
    for outcomes in range(look, horizon + 1, look):
        counts[live] += _outcomes(case, look, live.size, rng)
        shown = e_values(counts[live], pays, stakes, bets.PROMOTE_PRIOR) >= 1 / case.beta
        done = shown & (outcomes >= least)
        stops[live[done]] = outcomes
        live = live[~done]
        if not live.size:
            break
    return stops


def _against(case: Case, counts: Floats) -> Floats:
    return case.part * e_values(counts, case.payoffs, case.stakes, bets.PRIOR)


def _beginning(case: Case, runs: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Counts at the first moment that can end a run: when the candidate has its least number of outcomes."""
    first = case.min_outcomes
    return _outcomes(case, first, runs, rng) if first else np.zeros((runs, 3)), np.full(runs, float(first))


def _outcomes(case: Case, candidate: int, runs: int, rng: np.random.Generator) -> Floats:
    """What comes until the candidate has had so many more outcomes."""
    bad = rng.binomial(candidate, case.candidate, runs)
    stable = rng.negative_binomial(candidate, case.share, runs)
    stable_bad = rng.binomial(stable, case.stable)
    return np.column_stack((bad, stable_bad, candidate + stable - bad - stable_bad)).astype(float)
