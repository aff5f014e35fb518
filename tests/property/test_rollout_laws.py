"""The controller in a small world: a registry, a ledger, gateways that follow routes, and controllers that die at any call."""

import random
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_hooks.board import Board
from registry_hooks.controller import Controller, Parts
from registry_hooks.ledger.entry import GENESIS, Draft, Entry, entry_of, row_of
from stagedoor import names
from stagedoor.domain.evidence import Counts, Evidence, ShadowCounts
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.rollout import Finding, Findings, Node, State, plan, read_intent
from stagedoor.domain.rollout.steps import SetRoute
from stagedoor.domain.route_tag import read_route
from stagedoor.domain.traffic import WHOLE
from stagedoor.errors import EvidenceUnavailable, LeaseLost, LedgerUnavailable
from stagedoor.registry.memory import MemoryRegistry
from stagedoor.settings import Settings

MODEL = "fraud"
QUICK = "canary steps=10,50,100 interval=2s outcomes=20 delta=5 min_outcomes=20"


class KilledError(BaseException):
    """SIGKILL, as far as one thread can tell."""


class Fate:
    """Counts the calls that leave the controller and ends it before or after one of them."""

    def __init__(self) -> None:
        self.left: int | None = None

    def call(self, what: Callable[[], Any]) -> Any:
        self._tick()
        result = what()
        self._tick()
        return result

    def _tick(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.left = None
                raise KilledError


class Ledger:
    """Append-only rows with a generation; outlives controllers."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self.rows: list[Entry] = []
        self.newest = 0
        self.broken = False

    def append(self, draft: Draft, generation: int) -> Entry:
        return self._fate.call(lambda: self._append(draft, generation))

    def _append(self, draft: Draft, generation: int) -> Entry:
        if self.broken:
            raise LedgerUnavailable("The ledger's database gives no answer.")
        if generation != self.newest:
            raise LeaseLost("Another controller has taken over.")
        known = next((entry for entry in self.rows if entry.key == draft.key), None)
        if known is None:
            before = self.rows[-1].hash if self.rows else GENESIS
            known = entry_of(row_of(draft, len(self.rows) + 1, generation, before))
            self.rows.append(known)
        return known

    def latest(self) -> Mapping[str, Entry]:
        if self.broken:
            raise LedgerUnavailable("The ledger's database gives no answer.")
        return {entry.model: entry for entry in self.rows}

    def generation(self) -> tuple[int, str]:
        if self.broken:
            raise LedgerUnavailable("The ledger's database gives no answer.")
        return self.newest, "somebody"


@dataclass
class Lease:
    """Taken by whoever asks last: what an operator with two machines and a bad network gets."""

    ledger: Ledger
    generation: int = 0

    def acquire(self) -> bool:
        self.ledger.newest += 1
        self.generation = self.ledger.newest
        return True

    def held(self) -> bool:
        return self.generation > 0

    def release(self) -> None:
        self.generation = 0


class Registry(MemoryRegistry):
    """Writes may be the last thing a controller does."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        self._fate.call(lambda: super(Registry, self).tag_model(name, key, value))

    def tag_version(self, name: str, version: str, key: str, value: str | None) -> None:
        self._fate.call(lambda: super(Registry, self).tag_version(name, version, key, value))

    def move_alias(self, name: str, alias: str, version: str | None, *, expected: Any, who: str = "") -> None:
        self._fate.call(lambda: super(Registry, self).move_alias(name, alias, version, expected=expected, who=who))


@dataclass
class Gateways:
    """Sends `rate` requests a turn over the route in the registry and counts what comes of them, by epoch."""

    failing: Mapping[str, float]
    rate: int = 50
    silent: bool = False
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  no secret
    counts: dict[int, dict[str, list[int]]] = field(default_factory=dict)
    epochs: list[int] = field(default_factory=list)
    served: set[str] = field(default_factory=set)

    def serve(self, registry: MemoryRegistry) -> None:
        text = registry.model(MODEL).tags.get(names.TAG_ROUTE)
        if text is None:
            return
        route = read_route(text)
        assert not self.epochs or route.epoch >= self.epochs[-1]
        self.epochs.append(route.epoch)
        arms = self.counts.setdefault(route.epoch, {})
        for _ in range(self.rate):
            point = self.chance.randrange(WHOLE)
            edge = 0
            chosen = route.arms[0]
            for arm in route.arms[1:]:
                edge += arm.weight
                if point < edge:
                    chosen = arm
                    break
            self.served.add(chosen.version)
            good_bad = arms.setdefault(chosen.name, [0, 0])
            good_bad[self.chance.random() < self.failing.get(chosen.version, 0.0)] += 1

    def read(self, models: Collection[str], now: float) -> dict[str, dict[int, Evidence]]:
        if self.silent:
            raise EvidenceUnavailable("No gateway answers.")
        by_epoch = {
            epoch: Evidence(epoch, {arm: Counts(sum(pair), pair[0], pair[1], 0) for arm, pair in arms.items()}, ShadowCounts())
            for epoch, arms in self.counts.items()
        }
        return {MODEL: by_epoch}

    def stable_p99(self, model: str, version: str) -> float | None:
        return None


class World:
    """One model with versions 1 to 3; version 1 is live to begin with."""

    def __init__(self, failing: Mapping[str, float], *, bad_gates: Collection[str] = (), rollout: str = QUICK) -> None:
        self.fate = Fate()
        self.registry = Registry(self.fate)
        self.ledger = Ledger(self.fate)
        self.gateways = Gateways(failing)
        self.bad_gates = bad_gates
        self.now = 1_000.0
        for _ in range(3):
            self.registry.register(MODEL, Path("nowhere"))
        self.registry.set_tag(MODEL, names.TAG_ROLLOUT, rollout)
        self.registry.set_alias(MODEL, names.CHAMPION, "1")
        self.controller = self.start()
        self.turns(4)
        assert self.stable == "1"

    def check(self, model: RegisteredModel, candidate: str, live: str | None, who: str) -> tuple[Finding, ...]:
        if candidate in self.bad_gates:
            return (Finding("golden", "fail", "one answer is NaN"),)
        return (Finding("golden", "pass", "3 requests answered"),)

    def start(self) -> Controller:
        self.board = Board()
        parts = Parts(
            settings=Settings(),
            registry=self.registry,
            ledger=self.ledger,
            lease=Lease(self.ledger),
            source=self.gateways,
            gates=self,
            board=self.board,
            nodes=lambda _model: (Node("a", ready=True, epoch=10**9),),
        )
        return Controller(parts, Inline())

    def turn(self) -> None:
        self.now += 1.0
        try:
            self.controller.turn(self.now)
        except KilledError:
            self.controller = self.start()
        self.gateways.serve(self.registry)

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.turn()

    @property
    def states(self) -> list[State]:
        return [State.from_json(entry.state) for entry in self.ledger.rows]

    @property
    def stable(self) -> str | None:
        return self.states[-1].stable

    @property
    def champion(self) -> str | None:
        return self.registry.model(MODEL).aliases.get(names.CHAMPION)

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.ledger.rows]

    def verdict(self, version: str) -> str:
        return self.registry.version(MODEL, version).tags.get(names.TAG_VERDICT, "")

    def end(self) -> tuple[str | None, str | None, str, str]:
        """Where it came to: live version, alias, how it ended, and what stands on version 2."""
        last = self.states[-1].last
        return self.stable, self.champion, last.outcome if last else "", self.verdict("2").partition(":")[0]


class Inline(Executor):
    """An executor of this very thread."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **named))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  its base
        """Nothing to end."""


GOOD = {"1": 0.01, "2": 0.01}
BAD = {"1": 0.01, "2": 0.5}


def test_a_good_version_goes_through_all_steps_and_is_promoted() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(60)
    assert world.end() == ("2", "2", "promoted", "promoted")
    assert world.kinds[-4:] == ["started", "traffic_started", "advanced", "promoted"]
    shares = [state.route.arms[-1].weight for state in world.states if state.route and len(state.route.arms) > 1]
    assert shares == [1000, 5000]


def test_a_harmful_version_is_rolled_back_and_the_alias_goes_back() -> None:
    world = World(BAD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(30)
    assert world.end() == ("1", "1", "rolled_back", "rolled back")
    assert [arm.version for arm in read_route(world.registry.model(MODEL).tags[names.TAG_ROUTE]).arms] == ["1"]


def test_a_version_that_only_lacks_the_least_evidence_for_a_rollback_gets_no_larger_share() -> None:
    world = World(BAD, rollout="canary steps=10,50 interval=2s outcomes=5 delta=5 min_outcomes=80")
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(60)
    assert world.end() == ("1", "1", "rolled_back", "rolled back")
    assert "advanced" not in world.kinds


def test_a_version_that_fails_a_gate_gets_no_request_and_the_alias_goes_back() -> None:
    world = World(GOOD, bad_gates=["2"])
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(10)
    assert world.end() == ("1", "1", "refused", "refused")
    assert world.gateways.served == {"1"}
    assert "one answer is NaN" in world.verdict("2")


def test_naming_a_refused_version_again_is_a_new_wish() -> None:
    world = World(GOOD, bad_gates=["2"])
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(10)
    world.bad_gates = ()
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(60)
    assert world.stable == "2"


def test_moving_the_alias_back_ends_a_canary_at_once() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(4)
    assert world.states[-1].rollout is not None
    world.registry.set_alias(MODEL, names.CHAMPION, "1")
    world.turn()
    assert world.end()[:3] == ("1", "1", "aborted")


def test_a_person_who_moves_the_alias_in_the_same_moment_is_never_overwritten() -> None:
    world = World(BAD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    put_back = world.registry.move_alias

    def a_person_is_quicker(name: str, alias: str, version: str | None, **how: Any) -> None:
        world.registry.set_alias(MODEL, names.CHAMPION, "3")
        put_back(name, alias, version, **how)

    world.registry.move_alias = a_person_is_quicker  # type: ignore[method-assign]
    world.turns(60)
    assert "rolled_back" in world.kinds
    assert (world.champion, world.stable) == ("3", "3")


def test_a_former_version_returns_at_once_without_a_canary() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(60)
    world.registry.set_alias(MODEL, names.CHAMPION, "1")
    world.turn()
    assert (world.stable, world.kinds[-1]) == ("1", "returned")


def test_without_any_requests_a_canary_holds_and_says_what_it_waits_for() -> None:
    world = World(GOOD)
    world.gateways.rate = 0
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(50)
    assert world.stable == "1"
    assert world.board.read()[MODEL]["waiting_for"] == "20 more outcomes of version 2 in this step"


def test_without_evidence_nothing_is_promoted() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(3)
    world.gateways.silent = True
    world.turns(80)
    assert world.stable == "1"
    assert "evidence" in world.board.read()[MODEL]["waiting_for"]
    world.gateways.silent = False
    world.turns(60)
    assert world.stable == "2"


def test_a_dead_ledger_stops_promotions_but_not_a_rollback() -> None:
    world = World(BAD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(3)
    assert world.states[-1].rollout is not None
    world.ledger.broken = True
    world.turns(20)
    assert world.champion == "1"
    assert [arm.version for arm in read_route(world.registry.model(MODEL).tags[names.TAG_ROUTE]).arms] == ["1"]
    world.ledger.broken = False
    world.turns(5)
    assert world.end()[:3] == ("1", "1", "rolled_back")


def test_a_lost_ledger_keeps_serving_what_the_route_says() -> None:
    world = World(GOOD)
    epoch = world.states[-1].epoch
    world.ledger.rows.clear()
    world.controller = world.start()
    world.turns(3)
    assert (world.stable, world.kinds[0]) == ("1", "adopted")
    assert world.states[-1].epoch == epoch


def test_a_paused_canary_stays_where_it_is_and_is_still_rolled_back() -> None:
    world = World({"1": 0.01})
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(3)
    world.registry.set_tag(MODEL, names.TAG_CONTROL, "pause")
    world.turns(60)
    assert (world.stable, world.board.read()[MODEL]["phase"]) == ("1", "paused")
    world.gateways.failing = {"2": 0.9}
    world.turns(60)
    assert world.end()[:3] == ("1", "1", "rolled_back")


def test_promote_now_ends_a_canary_and_removes_its_own_tag() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(3)
    world.registry.set_tag(MODEL, names.TAG_CONTROL, "promote 2")
    world.turns(3)
    assert world.stable == "2"
    assert names.TAG_CONTROL not in world.registry.model(MODEL).tags


@pytest.mark.parametrize("rollout", ["blue-green bake=3s", "immediate", "rolling interval=1s bake=3s"])
def test_the_other_strategies_end_with_the_new_version_live(rollout: str) -> None:
    world = World(GOOD, rollout=rollout)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.gateways.counts.clear()
    for _ in range(20):
        world.turn()
        state = world.states[-1]
        if state.rollout is not None and state.route is not None and state.route.rolling is not None:
            world.gateways.counts[state.epoch] = {names.ARM_CANDIDATE: [500, 0]}
    assert world.end()[:3] == ("2", "2", "promoted")


def test_a_split_by_hand_waits_for_the_gates_and_follows_the_tag() -> None:
    world = World(GOOD, bad_gates=["3"])
    world.registry.set_tag(MODEL, names.TAG_ROLLOUT, None)
    world.registry.set_alias(MODEL, names.CHALLENGER, "2")
    world.registry.set_tag(MODEL, names.TAG_TRAFFIC, "champion=70,challenger=30")
    world.turns(4)
    route = read_route(world.registry.model(MODEL).tags[names.TAG_ROUTE])
    assert [(arm.name, arm.version, arm.weight) for arm in route.arms] == [("champion", "1", 7000), ("challenger", "2", 3000)]
    assert route.watched
    world.registry.set_alias(MODEL, names.CHALLENGER, "3")
    world.turns(4)
    assert "3" not in world.gateways.served
    assert world.registry.model(MODEL).aliases[names.CHALLENGER] == "2"


def test_contradicting_tags_leave_everything_as_it_is_and_say_so() -> None:
    world = World(GOOD)
    world.registry.set_tag(MODEL, names.TAG_TRAFFIC, "champion=50,challenger=50")
    world.registry.set_alias(MODEL, names.CHALLENGER, "2")
    world.turns(5)
    assert world.stable == "1"
    assert any("contradict" in problem for problem in world.board.read()[MODEL]["problems"])


def test_a_drill_ends_with_the_fault_found_and_nothing_else_changed() -> None:
    world = World(GOOD)
    world.gateways.failing = {"1": 0.0}
    drill = f'{{"fault": "error", "rate": 0.5, "cohort": "c1", "until": {world.now + 60}, "by": "root"}}'
    world.registry.set_tag(MODEL, names.TAG_DRILL, drill)
    world.turn()
    epoch = world.states[-1].epoch
    assert world.states[-1].route.drill is not None  # type: ignore[union-attr]
    world.gateways.rate = 0
    world.gateways.counts[epoch] = {names.CHAMPION: [100, 0], names.ARM_CANDIDATE: [50, 50]}
    world.turns(3)
    assert (world.kinds[-1], world.stable, world.champion) == ("drill_ended", "1", "1")
    assert names.TAG_DRILL not in world.registry.model(MODEL).tags
    assert world.states[-1].route.drill is None  # type: ignore[union-attr]


def test_a_drill_finds_slow_answers_too() -> None:
    world = World(GOOD)
    drill = f'{{"fault": "latency", "rate": 0.5, "cohort": "c1", "until": {world.now + 60}, "by": "root"}}'
    world.registry.set_tag(MODEL, names.TAG_DRILL, drill)
    world.turn()
    state = world.states[-1]
    assert state.route is not None
    assert state.route.slow_seconds == pytest.approx(0.25)
    assert state.rollout is not None
    assert state.rollout.base.slow is not None


def test_the_alias_of_a_deleted_version_leaves_what_is_live_alone() -> None:
    world = World(GOOD)
    world.registry.delete_alias(MODEL, names.CHAMPION)
    world.turns(5)
    assert world.stable == "1"
    assert any("keeps serving" in problem for problem in world.board.read()[MODEL]["problems"])


@settings(max_examples=60, deadline=None)
@given(kills=st.lists(st.integers(1, 25), max_size=12), bad=st.booleans(), gate=st.booleans())
def test_a_controller_killed_anywhere_ends_where_one_that_lives_ends(kills: list[int], *, bad: bool, gate: bool) -> None:
    failing = BAD if bad else GOOD
    gates = ["2"] if gate else []
    whole = World(failing, bad_gates=gates)
    whole.registry.set_alias(MODEL, names.CHAMPION, "2")
    whole.turns(80)
    world = World(failing, bad_gates=gates)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    for kill in kills:
        world.fate.left = kill
        world.turns(6)
    world.fate.left = None
    world.turns(80)
    assert world.end() == whole.end()
    assert [entry.seq for entry in world.ledger.rows] == list(range(1, len(world.ledger.rows) + 1))
    assert len({entry.key for entry in world.ledger.rows}) == len(world.ledger.rows)
    epochs = [state.epoch for state in world.states]
    assert epochs == sorted(epochs)


MOVES = st.tuples(st.sampled_from(["champion", "challenger", "none", "pause", "resume", "traffic", "quiet"]), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(moves=st.lists(MOVES, max_size=8), pauses=st.lists(st.integers(1, 8), min_size=8, max_size=8))
def test_whatever_people_do_the_end_is_what_they_asked_for_last(moves: list[tuple[str, int]], pauses: list[int]) -> None:
    world = World({})
    for (what, version), pause in zip(moves, pauses, strict=False):
        _move(world, what, str(version))
        world.turns(pause)
    for tag in (names.TAG_CONTROL, names.TAG_TRAFFIC):
        world.registry.set_tag(MODEL, tag, None)
    world.registry.set_tag(MODEL, names.TAG_ROLLOUT, QUICK)
    world.registry.set_alias(MODEL, names.CHAMPION, "3")
    world.turns(90)
    assert (world.stable, world.champion) == ("3", "3")
    assert world.gateways.epochs == sorted(world.gateways.epochs)


def _move(world: World, what: str, version: str) -> None:
    if what in {"champion", "challenger"}:
        world.registry.set_alias(MODEL, what, version)
    elif what == "none":
        world.registry.delete_alias(MODEL, names.CHAMPION)
    elif what in {"pause", "resume"}:
        world.registry.set_tag(MODEL, names.TAG_CONTROL, "pause" if what == "pause" else None)
    elif what == "traffic":
        world.registry.set_tag(MODEL, names.TAG_ROLLOUT, None)
        world.registry.set_tag(MODEL, names.TAG_TRAFFIC, "champion=80,challenger=20")


def test_planning_twice_plans_the_same_and_a_followed_route_asks_for_nothing_more() -> None:
    world = World(GOOD)
    model = world.registry.model(MODEL)
    intent = read_intent(model, QUICK)
    state = world.states[-1]
    first = plan(intent, state, Findings(), 5_000.0, 60.0)
    assert first == plan(intent, state, Findings(), 5_000.0, 60.0)
    assert not [step for step in first.steps if isinstance(step, SetRoute)]
