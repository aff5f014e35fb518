"""A small world for the controller: a registry, a ledger, gateways that follow routes, and controllers that die at any call."""

import random
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry_hooks.board import Board
from registry_hooks.controller import Controller, Parts
from registry_hooks.ledger.entry import GENESIS, Draft, Entry, entry_of, row_of
from stagedoor import names
from stagedoor.domain.evidence import Counts, Evidence, ShadowCounts
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.rollout import Finding, Node, State
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
