"""What the controller counts of itself."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

DECISIONS: Final = Counter("stagedoor_decisions", "Decisions written to the ledger.", ["model", "kind"])
LEADING: Final = Gauge("stagedoor_controller_leading", "1 while this controller is the one that decides.")
MISSING: Final = Gauge("stagedoor_controller_held_up", "1 while the registry, the ledger or the evidence cannot be had.")
UNDER_WAY: Final = Gauge("stagedoor_rollouts_under_way", "Versions on trial.")
TURN: Final = Histogram(
    "stagedoor_controller_turn_seconds", "Time of one turn.", buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
)
