"""How long a warm prediction of one row takes, and its tail."""

import time
from typing import Any, Final

from serving.loading.warmup import one_row
from serving.values import Inputs, Predictor

ROUNDS: Final = 5
RUNS: Final = 100
FEWEST: Final = 3
ROUND_SECONDS: Final = 0.4


def latency(predictor: Predictor, inputs: Inputs) -> dict[str, Any]:
    """Seconds at the median and the 99th percentile, and how many runs stand behind them, of the quietest of five rounds.

    The quietest, because whatever else the machine does only ever adds. Takes about two seconds at most, or three predictions.
    Raises whatever the model raises.
    """
    row = one_row(predictor, inputs)
    rounds = [_round(predictor, row)]
    while len(rounds) < ROUNDS and sum(rounds[0]) < ROUND_SECONDS:
        rounds.append(_round(predictor, row))
    best = min(rounds, key=lambda runs: _quantile(runs, 0.99))
    return {"p50": _quantile(best, 0.5), "p99": _quantile(best, 0.99), "runs": len(best)}


def _round(predictor: Predictor, row: Inputs) -> list[float]:
    runs: list[float] = []
    while len(runs) < FEWEST or (len(runs) < RUNS and sum(runs) < ROUND_SECONDS):
        start = time.perf_counter()
        predictor.predict(row)
        runs.append(time.perf_counter() - start)
    return sorted(runs)


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
