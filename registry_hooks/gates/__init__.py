"""Gates: what a version has to pass before any traffic. `Gatehouse` runs them all."""

from registry_hooks.gates.case import Case, Facts, Gate, GateFinding, Result, Trouble
from registry_hooks.gates.examination import Examination
from registry_hooks.gates.gatehouse import Gatehouse
from registry_hooks.gates.running import GATES, all_gates, run_gates, verdict_of

__all__ = [
    "GATES",
    "Case",
    "Examination",
    "Facts",
    "Gate",
    "GateFinding",
    "Gatehouse",
    "Result",
    "Trouble",
    "all_gates",
    "run_gates",
    "verdict_of",
]
