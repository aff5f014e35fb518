"""All gates, and how they are asked: each by itself, with a deadline, and with nothing but a Result coming out."""

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, get_args

from registry_hooks.extensions import extensions
from registry_hooks.gates.behaviour import Budget, Compatibility, GoldenRequests, Loads
from registry_hooks.gates.case import Case, Gate, Result
from registry_hooks.gates.integrity import Digest, Signature
from registry_hooks.gates.merit import Approval, Downgrade, Metric
from stagedoor import names
from stagedoor.domain.rollout.findings import GateOutcome
from stagedoor.errors import InvalidTag
from stagedoor.telemetry import get_logger

GATES: Final[tuple[Gate, ...]] = (
    Digest(),
    Signature(),
    Loads(),
    Compatibility(),
    GoldenRequests(),
    Budget(),
    Metric(),
    Approval(),
    Downgrade(),
)

ENTRY_POINTS: Final = "stagedoor.gates"
GATE_SECONDS: Final = 60.0

_OUTCOMES: Final = frozenset(get_args(GateOutcome))
_BY_WEIGHT: Final[tuple[GateOutcome, ...]] = ("fail", "error", "wait")


@dataclass(frozen=True, slots=True)
class Broken:
    """Stands in for a gate that cannot be used, so that nothing passes for lack of it."""

    name: str
    reason: str

    def __call__(self, case: Case) -> Result:  # noqa: ARG002  a Gate
        """See Gate."""
        return Result("error", f"{self.reason} Mend or uninstall it.")


def all_gates() -> tuple[Gate, ...]:
    """Our own and those of the entry points `stagedoor.gates`. Names that are taken, or none, stand for broken ones."""
    gates = list(GATES)
    taken = {gate.name for gate in GATES}
    for found in extensions(ENTRY_POINTS):
        gate = found.value
        name = getattr(gate, "name", None)
        if found.broken:
            gates.append(Broken(found.name, found.broken))
        elif not isinstance(name, str) or not name or name in taken:
            gates.append(Broken(found.name, f"The extension {found.name} has no name of its own."))
        else:
            taken.add(name)
            gates.append(gate)
    return tuple(gates)


def run_gates(gates: Iterable[Gate], case: Case, seconds: float = GATE_SECONDS) -> tuple[tuple[str, Result], ...]:
    """Ask every gate, whatever the others say. Each has `seconds`; one that raises, or takes longer, is an `error`."""
    return tuple((gate.name, _run(gate, case, seconds)) for gate in gates)


def verdict_of(results: Iterable[tuple[str, Result]]) -> GateOutcome:
    """`fail` before `error` before `wait` before `pass`; nothing at all is an `error`."""
    outcomes = {result.outcome for _, result in results}
    return next((outcome for outcome in _BY_WEIGHT if outcome in outcomes), "pass" if outcomes else "error")


def _run(gate: Gate, case: Case, seconds: float) -> Result:
    settings = case.model.tags.get(names.TAG_GATE_PREFIX + gate.name)
    if settings is not None and settings.strip().lower() == "off":
        if getattr(gate, "optional", True):
            return Result("pass", f"It is switched off by the tag {names.TAG_GATE_PREFIX}{gate.name}.", {"off": True})
        return Result("error", f"This gate cannot be switched off. Remove the tag {names.TAG_GATE_PREFIX}{gate.name}.")
    answers: list[Result] = []
    # A daemon: a gate of somebody else's that hangs must not keep the controller from ending.
    asking = threading.Thread(
        target=lambda: answers.append(_ask(gate, replace(case, settings=settings))), name=f"gate-{gate.name}", daemon=True
    )
    asking.start()
    asking.join(seconds)
    return answers[0] if answers else Result("error", f"The gate did not answer within {seconds:g} s. It will be asked again.")


def _ask(gate: Gate, case: Case) -> Result:
    try:
        result = gate(case)
    except InvalidTag as error:
        return Result("error", str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001  somebody else's code, or a slip of ours: in no case a pass
        get_logger().exception("gate_raised", gate=gate.name, model=case.model.name, version=case.candidate.version)
        return Result("error", f"The gate raised {type(error).__name__}. The controller's log says more.")
    return _checked(result)


def _checked(result: object) -> Result:
    if not isinstance(result, Result) or result.outcome not in _OUTCOMES or not isinstance(result.reason, str):
        return Result("error", "The gate answered no Result with an outcome and a reason.")
    try:
        json.dumps(dict(result.evidence), allow_nan=False)
    except (TypeError, ValueError):
        return replace(Result("error", "The gate's evidence is not JSON."), evidence={"outcome": result.outcome})
    return result
