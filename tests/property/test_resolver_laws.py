"""Laws of following the registry, over random histories, missed polls, broken versions and restarts."""

import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.resolver.demands import DemandFolder
from serving.resolver.progress import Means
from serving.resolver.publishing import Publisher
from serving.resolver.resolver import Resolver, Work
from serving.resolver.schedule import Outcome
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Route
from stagedoor.errors import RegistryNotFound, RegistryUnavailable
from stagedoor.paths import StatePaths
from stagedoor.registry.memory import MemoryRegistry
from stagedoor.registry.reading import read_registry
from stagedoor.registry.sweep import Sweep

NAMES = ("fraud", "credit")
ALIASES = ("champion", "challenger", "shadow")
TAGS = ("champion=90,challenger=10", "champion=50,challenger=50", "challenger=100", "shadow=1,champion=99", None)
BAD_TAGS = ("champion=90", "nonsense", "champion=60,challenger=60")
STAGES = ("None", "Staging", "Production", "Archived")

picks = st.integers(0, 5)
alias_moves = st.tuples(st.just("alias"), st.sampled_from(NAMES), st.sampled_from(ALIASES), picks)
changes = st.one_of(
    st.tuples(st.just("register"), st.sampled_from(NAMES)),
    alias_moves,
    alias_moves.filter(lambda move: move[2] == "champion"),
    st.tuples(st.just("unalias"), st.sampled_from(NAMES), st.sampled_from(ALIASES)),
    st.tuples(st.just("tag"), st.sampled_from(NAMES), st.sampled_from(TAGS)),
    st.tuples(st.just("stage"), st.sampled_from(NAMES), st.sampled_from(STAGES), picks),
    st.tuples(st.just("delete version"), st.sampled_from(NAMES), picks),
    st.tuples(st.just("delete model"), st.sampled_from(NAMES)),
)
rough_changes = changes | st.tuples(st.just("tag"), st.sampled_from(NAMES), st.sampled_from(BAD_TAGS))
page_sizes = st.sampled_from([1, 250])
events = st.sampled_from(["poll", "poll", "work", "compile", "die", "live", "restart"])


BEGINNING: list[Any] = [
    *[("register", name) for name in NAMES for _ in range(3)],
    *[("alias", name, "champion", 0) for name in NAMES],
    ("alias", "fraud", "challenger", 1),
    ("tag", "fraud", "champion=90,challenger=10"),
]
"""Random histories go on from here: from nothing, few of them would ever serve anything."""


class ByHand(Executor):
    """Runs jobs when told to, in the order they came."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self.jobs.append((future, partial(fn, *args, **kwargs)))
        return future

    def run(self) -> None:
        jobs, self.jobs = self.jobs, []
        for future, job in jobs:
            try:
                future.set_result(job())
            except RegistryUnavailable as error:
                future.set_exception(error)


class Machine:
    def __init__(self, root: Path, registry: MemoryRegistry, broken: frozenset[tuple[str, str]] = frozenset()) -> None:
        self.paths = StatePaths(root)
        self.registry = registry
        self.broken = broken
        self.now = 1e9
        self.seen: list[Snapshot] = []
        self.compiled: set[str] = set()
        self.restart()

    def restart(self) -> None:
        self.reader, self.workers, self.compilers = ByHand(), ByHand(), ByHand()
        compiling = Means(self.compile, self.compilers)
        work = Work(self.read, self.prepare, lambda _: frozenset(), self.reader, self.workers, compiling=compiling)
        self.resolver = Resolver(work, Publisher(self.paths), DemandFolder(self.paths.demand), 1.0)

    def read(self, known: frozenset[str], served: frozenset[str], sweep: Sweep | None, /) -> Any:
        return read_registry(self.registry, ("*",), known, served, sweep)

    def prepare(self, name: str, version: str, had: VersionEntry) -> Outcome:
        try:
            created = self.registry.model(name).created_at
            self.registry.version(name, version)
        except RegistryNotFound:
            return Outcome(VersionEntry(version, "refused", code="model_not_found"))
        except RegistryUnavailable:
            return Outcome(had if had.state == "ready" else VersionEntry(version, "pending"), settled=False)
        if (name, version) in self.broken:
            return Outcome(VersionEntry(version, "refused", code="load_failed", reason="broken"))
        digest = f"{name}-{created}-{version}"
        if digest in self.compiled:
            return Outcome(VersionEntry(version, "ready", digest, compiled=f"{digest}-compiled"))
        return Outcome(VersionEntry(version, "ready", digest), more=True)

    def compile(self, name: str, version: str, had: VersionEntry) -> Outcome:
        if self.registry.broken is not None:
            return Outcome(had, settled=False, more=True)
        self.compiled.add(had.digest)
        return Outcome(replace(had, compiled=f"{had.digest}-compiled"))

    def poll(self, seconds: float = 1.0) -> None:
        self.now += seconds
        for _ in range(2):
            self.resolver.tick(self.now)
            self.reader.run()
            self.look()

    def look(self) -> None:
        if not self.seen or self.resolver.snapshot != self.seen[-1]:
            self.seen.append(self.resolver.snapshot)

    def settle(self) -> Snapshot:
        self.registry.broken = None
        for _ in range(12):
            self.poll(200.0)
            self.workers.run()
            self.compilers.run()
        return self.resolver.snapshot


def change(registry: MemoryRegistry, what: tuple[Any, ...]) -> None:
    """Do it if it can be done in this registry."""
    kind, name, *rest = what
    if kind == "register":
        registry.register(name, Path("unused"))
        return
    try:
        registry.model(name)
    except RegistryNotFound:
        return
    versions = [str(n) for n in range(1, 30) if (name, str(n)) in _all_versions(registry, name)]
    if kind == "unalias":
        registry.delete_alias(name, rest[0])
    elif kind == "tag":
        registry.set_tag(name, "stagedoor.traffic", rest[0])
    elif kind == "delete model":
        registry.delete_model(name)
    elif versions:
        version = versions[rest[-1] % len(versions)]
        if kind == "alias":
            registry.set_alias(name, rest[0], version)
        elif kind == "stage":
            registry.set_stage(name, version, rest[0])
        else:
            registry.delete_version(name, version)


def _all_versions(registry: MemoryRegistry, name: str) -> set[tuple[str, str]]:
    found = set()
    for n in range(1, 30):
        try:
            registry.version(name, str(n))
        except RegistryNotFound:
            continue
        found.add((name, str(n)))
    return found


def run(machine: Machine, history: list[Any]) -> None:
    for event in [*BEGINNING, "poll", "work", "work", *history]:
        happen(machine, event)


def happen(machine: Machine, event: Any) -> None:
    if isinstance(event, tuple):
        dead, machine.registry.broken = machine.registry.broken, None
        change(machine.registry, event)
        machine.registry.broken = dead
    elif event == "poll":
        machine.poll()
    elif event == "work":
        machine.workers.run()
        machine.poll(0.1)
    elif event == "compile":
        machine.compilers.run()
        machine.poll(0.1)
    elif event == "restart":
        machine.restart()
    else:
        machine.registry.broken = RegistryUnavailable("dead") if event == "die" else None


def meaning(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot without its history: serials and epochs."""

    def of(entry: ModelEntry) -> Any:
        route = entry.route and (entry.route.arms, entry.route.salt, entry.route.sticky)
        return dict(entry.aliases), dict(entry.stages), entry.policy, route, dict(entry.versions), entry.problems

    return {name: of(entry) for name, entry in snapshot.models.items()}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.lists(st.one_of(changes, events, events), max_size=40), page_sizes)
def test_the_end_state_depends_only_on_the_final_registry(history: list[Any], page_size: int) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        registry = MemoryRegistry(page_size)
        machine = Machine(Path(first), registry)
        run(machine, history)
        fresh = Machine(Path(second), registry)
        assert meaning(machine.settle()) == meaning(fresh.settle())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(
    history=st.lists(st.one_of(rough_changes, events, events), max_size=40),
    broken=st.frozensets(st.tuples(st.sampled_from(NAMES), st.integers(1, 4).map(str)), max_size=4),
    page_size=page_sizes,
)
def test_serials_and_epochs_only_grow_and_routes_name_ready_versions_alone(
    history: list[Any], broken: frozenset[tuple[str, str]], page_size: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder), MemoryRegistry(page_size), broken)
        run(machine, history)
        machine.settle()
        assert any(entry.route for snapshot in machine.seen for entry in snapshot.models.values()) or broken
        serial, epochs, routes = -1, dict[str, int](), dict[str, Route]()
        for snapshot in machine.seen:
            assert snapshot.serial > serial
            serial = snapshot.serial
            for entry in snapshot.models.values():
                if entry.route is None:
                    continue
                assert epochs.get(entry.name, 0) <= entry.route.epoch <= serial
                if entry.route.epoch != epochs.get(entry.name):
                    assert entry.route.epoch == serial
                else:
                    assert entry.route == routes[entry.name]
                epochs[entry.name], routes[entry.name] = entry.route.epoch, entry.route
                assert {entry.versions[arm.version].state for arm in entry.route.arms} == {"ready"}
                assert {(entry.name, arm.version) for arm in entry.route.arms}.isdisjoint(broken)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(st.lists(rough_changes | st.sampled_from(["poll", "work", "compile"]), max_size=25), page_sizes)
def test_no_change_of_anything_but_the_registry_moves_a_route(history: list[Any], page_size: int) -> None:
    """Polls, restarts and a dead registry after the last change publish no other split."""
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder), MemoryRegistry(page_size))
        run(machine, history)
        settled = machine.settle()
        for event in ("restart", "poll", "die", "poll", "work", "restart", "poll", "work", "live", "poll"):
            happen(machine, event)
        assert machine.settle() == settled
