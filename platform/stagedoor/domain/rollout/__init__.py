"""How a promotion goes: from what people want and what was counted, to the next decision and its effects. Pure."""

from stagedoor.domain.rollout.findings import Finding, Findings, Node
from stagedoor.domain.rollout.intent import Intent, read_intent
from stagedoor.domain.rollout.plan import Plan, plan
from stagedoor.domain.rollout.state import Rollout, State

__all__ = ["Finding", "Findings", "Intent", "Node", "Plan", "Rollout", "State", "plan", "read_intent"]
