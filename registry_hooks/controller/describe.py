"""A model as the board shows it. Pure."""

from typing import Any

from stagedoor.domain.rollout import Intent, Plan, Rollout, State
from stagedoor.domain.rollout.findings import Finding
from stagedoor.domain.rollout.state import Last, findings_out


def describe(intent: Intent, state: State, plan: Plan, now: float, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    """One model's JSON; see the REST description for its members."""
    rollout = state.rollout
    verdict = plan.verdict
    return {
        "model": state.model,
        "stable": state.stable,
        "phase": _phase(intent, state, plan),
        "candidate": rollout.candidate if rollout else None,
        "strategy": rollout.text if rollout else intent.strategy,
        "step": rollout.step if rollout else None,
        "steps": list(rollout.strategy.steps) if rollout and rollout.phase == "canary" else [],
        "weight": _weight(state),
        "epoch": state.epoch,
        "who": rollout.who if rollout else None,
        "started_at": rollout.started_at if rollout else None,
        "waiting_for": plan.waiting_for,
        "verdict": {"kind": verdict.kind, "reason": verdict.reason, "numbers": dict(verdict.numbers)} if verdict else None,
        "rules": _rules(rollout),
        "gates": findings_out(_gates(rollout, state.last)),
        "last": _last(state.last),
        "problems": [*plan.problems, *problems],
        "updated_at": now,
    }


def _phase(intent: Intent, state: State, plan: Plan) -> str:
    rollout, last = state.rollout, state.last
    if rollout is None:
        return "refused" if last is not None and last.is_open and last.outcome == "refused" else "idle"
    if intent.paused and rollout.phase != "drill":
        return "paused"
    if plan.verdict is not None and plan.verdict.kind == "freeze":
        return "frozen"
    return rollout.phase


def _weight(state: State) -> int | None:
    route, rollout = state.route, state.rollout
    if route is None or rollout is None:
        return None
    return next((arm.weight for arm in route.arms if arm.version == rollout.candidate), 0)


def _rules(rollout: Rollout | None) -> dict[str, float] | None:
    if rollout is None:
        return None
    rules = rollout.strategy.rules
    return {"alpha": rules.alpha, "beta": rules.beta, "delta": rules.delta}


def _gates(rollout: Rollout | None, last: Last | None) -> tuple[Finding, ...]:
    return rollout.findings if rollout else last.findings if last else ()


def _last(last: Last | None) -> dict[str, Any] | None:
    if last is None:
        return None
    return {"outcome": last.outcome, "version": last.version, "reason": last.reason, "at": last.at, "epoch": last.epoch}
