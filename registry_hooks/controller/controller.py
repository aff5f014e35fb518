"""One turn of the controller: everything it knows of is gathered, each model is planned, and plans are carried out."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from registry_hooks.board import Board
from registry_hooks.controller import metrics
from registry_hooks.controller.describe import describe
from registry_hooks.controller.gatekeeping import Gatekeeper, Gates
from registry_hooks.controller.performing import Performer
from registry_hooks.controller.reading import Reader
from registry_hooks.lease import Lease
from registry_hooks.ledger import Draft, Entry
from stagedoor.domain.evidence import Evidence
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.rollout import Findings, Intent, Node, Plan, State, plan, read_intent
from stagedoor.domain.rollout.steps import CheckGates, Decision, MoveAlias, MoveStage, SetRoute
from stagedoor.errors import EvidenceUnavailable, LeaseLost, LedgerUnavailable, RegistryError, StagedoorError
from stagedoor.registry.port import Registry, RegistryWriter
from stagedoor.settings import Settings
from stagedoor.telemetry import get_logger

GATE_THREADS: Final = 2


class Both(Registry, RegistryWriter, Protocol):
    """A registry to read and to write."""


class Books(Protocol):
    """The part of the ledger that the controller writes. Raises LedgerUnavailable."""

    def append(self, draft: Draft, generation: int) -> Entry:
        """Write down once. Raises LeaseLost."""

    def latest(self) -> Mapping[str, Entry]:
        """The newest entry of each model."""

    def generation(self) -> tuple[int, str]:
        """The newest generation, and who holds it."""


class Source(Protocol):
    """Where evidence comes from. Raises EvidenceUnavailable."""

    def read(self, models: Collection[str], now: float) -> Mapping[str, Mapping[int, Evidence]]:
        """Counts by model and epoch."""

    def stable_p99(self, model: str, version: str) -> float | None:
        """Seconds."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a controller is made of. `nodes` asks the gateways how they stand; `notify` tells people, and never waits."""

    settings: Settings
    registry: Both
    ledger: Books
    lease: Lease
    source: Source
    gates: Gates
    board: Board
    nodes: Callable[[str], tuple[Node, ...]]
    notify: Callable[[Decision, float], None] = field(default=lambda _decision, _now: None)


class Controller:
    """Decides while it leads. `turn` is called about once a second, from one thread."""

    def __init__(self, parts: Parts, threads: Executor | None = None) -> None:
        """`threads` runs the gates; by default two threads of its own."""
        self._parts = parts
        self._reader = Reader(parts.registry, parts.settings.models)
        self._threads = threads or ThreadPoolExecutor(GATE_THREADS, thread_name_prefix="gates")
        self._keeper = Gatekeeper(parts.gates, self._threads)
        self._performer = Performer(parts.registry)
        self._states: dict[str, State] | None = None
        self._views: dict[str, Mapping[str, Any]] = {}
        self._missing: tuple[str, ...] = ()
        self._log = get_logger()

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def turn(self, now: float) -> None:
        """Look once, and do what is to be done. Never raises what the next turn may find mended."""
        missing: list[str] = []
        try:
            with metrics.TURN.time():
                self._turn(now)
        except LeaseLost as error:
            self._states = None
            self._parts.lease.release()
            missing.append(str(error))
        except StagedoorError as error:
            missing.append(str(error))
        self._say(tuple(missing))
        metrics.LEADING.set(self._states is not None)
        metrics.UNDER_WAY.set(sum(state.rollout is not None for state in (self._states or {}).values()))
        self._parts.board.publish(self._views, tuple(missing))

    def _turn(self, now: float) -> None:
        states = self._lead()
        if states is None:
            self._stand_by(now)
            return
        models = self._reader.read([name for name, state in states.items() if state.stable or state.rollout])
        self._keeper.collect(now)
        evidence, complete = self._evidence([name for name in models if _is_watched(states.get(name))], now)
        for model in models.values():
            self._care_for(model, states, evidence, now, complete=complete)
        self._views = {name: view for name, view in self._views.items() if name in models}

    def _say(self, missing: tuple[str, ...]) -> None:
        """One line when something begins to be missing, and one when nothing is any more; not one each second."""
        if missing and missing != self._missing:
            self._log.warning("turn_held_up", why=" ".join(missing))
        if self._missing and not missing:
            self._log.info("turn_goes_on")
        self._missing = missing
        metrics.MISSING.set(bool(missing))

    # --- leading ---

    def _lead(self) -> dict[str, State] | None:
        """The states, if this controller decides; those in the ledger are the truth whenever it has just begun to."""
        lease = self._parts.lease
        if not lease.held():
            self._states = None
            if not lease.acquire():
                return None
        if self._states is None:
            self._states = {name: State.from_json(entry.state) for name, entry in self._parts.ledger.latest().items()}
            self._log.info("leading", generation=lease.generation, models=len(self._states))
        return self._states

    def _stand_by(self, now: float) -> None:
        """Say what the ledger says: another controller decides."""
        for name, entry in self._parts.ledger.latest().items():
            state = State.from_json(entry.state)
            view = describe(Intent(name), state, Plan(None, ()), now)
            self._views[name] = {**view, "waiting_for": "the controller that leads; this one stands by"}

    # --- knowing ---

    def _evidence(self, watched: Collection[str], now: float) -> tuple[Mapping[str, Mapping[int, Evidence]] | None, bool]:
        if not watched:
            return {}, True
        try:
            return self._parts.source.read(watched, now), True
        except EvidenceUnavailable as error:
            self._log.warning("evidence_missing", why=str(error))
            return getattr(error, "partial", None), False

    def _findings(
        self, intent: Intent, state: State, evidence: Mapping[str, Mapping[int, Evidence]] | None, *, complete: bool
    ) -> Findings:
        rollout = state.rollout
        # What is slow is settled when traffic begins.
        begins = rollout.phase == "gating" if rollout is not None else intent.drill is not None
        return Findings(
            self._keeper.findings(state.model),
            evidence.get(state.model, {}) if evidence is not None else None,
            complete,
            self._p99(state) if begins else None,
            self._parts.nodes(state.model) if rollout is not None and rollout.strategy.kind == "rolling" else (),
        )

    def _p99(self, state: State) -> float | None:
        if state.stable is None:
            return None
        try:
            return self._parts.source.stable_p99(state.model, state.stable)
        except EvidenceUnavailable:
            return None

    # --- one model ---

    def _care_for(
        self,
        model: RegisteredModel,
        states: dict[str, State],
        evidence: Mapping[str, Mapping[int, Evidence]] | None,
        now: float,
        *,
        complete: bool,
    ) -> None:
        settings = self._parts.settings
        intent = read_intent(model, settings.rollout)
        state = states.get(model.name, State(model.name)).of_model_born(model.created_at)
        findings = self._findings(intent, state, evidence, complete=complete)
        made = plan(intent, state, findings, now, settings.rollback_window_seconds)
        problems: tuple[str, ...] = ()
        try:
            state = self._follow_through(model, state, made, now)
            states[model.name] = state
        except (RegistryError, LedgerUnavailable) as error:
            problems = (str(error),)
            self._log.warning("held_up", model=model.name, why=str(error))
        if state.serial or intent.wanted or problems:
            self._views[model.name] = describe(intent, state, made, now, problems)

    def _follow_through(self, model: RegisteredModel, state: State, made: Plan, now: float) -> State:
        """Write down, then carry out. Returns the state that now holds."""
        for step in made.steps:
            if isinstance(step, CheckGates):
                self._keeper.ask(model, (step.candidate, step.live), step.who, now)
        decision = made.decision
        if decision is not None:
            try:
                entry = self._parts.ledger.append(_draft(decision, now), self._parts.lease.generation)
            except LedgerUnavailable:
                if decision.retreat:
                    self._retreat(model.name, made)
                raise
            state = State.from_json(entry.state)
            self._log.info("decided", model=model.name, kind=decision.kind, reason=decision.reason, epoch=state.epoch)
            if decision.kind in {"started", "refused", "gated", "aborted", "rolled_back", "promoted"}:
                self._keeper.forget(model.name)
            if (entry.at, entry.kind) != (now, decision.kind):
                return state  # another controller made this decision before: its word stands
            metrics.DECISIONS.labels(model.name, decision.kind).inc()
            self._parts.notify(decision, now)
        if made.steps:
            self._check_lead()
            self._performer.perform(model.name, made.steps)
        return state

    def _retreat(self, model: str, made: Plan) -> None:
        """Take a version out of traffic though it cannot be written down: the route says why, and is taken over later."""
        self._check_lead()
        steps = tuple(step for step in made.steps if isinstance(step, SetRoute | MoveAlias | MoveStage))
        self._performer.perform(model, steps)

    def _check_lead(self) -> None:
        """Nothing is carried out by a controller that was replaced, however long it slept since it decided."""
        lease = self._parts.lease
        if not lease.held():
            raise LeaseLost("Another controller has taken over.")
        try:
            newest, _ = self._parts.ledger.generation()
        except LedgerUnavailable:
            return
        if newest != lease.generation:
            raise LeaseLost("Another controller has taken over.")


def _draft(decision: Decision, now: float) -> Draft:
    state = decision.state
    return Draft(
        key=decision.key,
        at=now,
        model=state.model,
        kind=decision.kind,
        who=decision.who,
        from_version=decision.from_version,
        to_version=decision.to_version,
        epoch=state.epoch,
        reason=decision.reason,
        evidence=decision.evidence,
        state=state.to_json(),
    )


def _is_watched(state: State | None) -> bool:
    return state is not None and state.rollout is not None and state.route is not None and state.route.watched
