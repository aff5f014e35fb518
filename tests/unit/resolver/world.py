"""One machine's state folder, the registry's twin that it follows, a fake probe, and a clock that the test moves."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from serving.resolver.demands import DemandFolder
from serving.resolver.index import Index
from serving.resolver.preparing import Preparer
from serving.resolver.publishing import Publisher
from serving.resolver.resolver import Resolver, Work
from serving.snapshot_file import read_snapshot
from serving.store import Store
from stagedoor.domain.follow import Follower
from stagedoor.domain.snapshot import ModelEntry, Snapshot
from stagedoor.errors import LoadFailed
from stagedoor.paths import StatePaths
from stagedoor.registry.memory import MemoryRegistry
from stagedoor.registry.reading import read_registry
from stagedoor.registry.sweep import Sweep


class AtOnce(Executor):
    """Runs a job where it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  as every executor does
            future.set_exception(error)
        return future


class Later(Executor):
    """Runs its jobs when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self.jobs.append((future, partial(fn, *args, **kwargs)))
        return future

    def run(self) -> None:
        jobs, self.jobs = self.jobs, []
        for future, job in jobs:
            future.set_result(job())


@dataclass(frozen=True)
class Report:
    flavor: str = "onnx"
    memory_bytes: int = 100


class FakeProbe:
    def __init__(self) -> None:
        self.broken: set[bytes] = set()
        self.probed: list[bytes] = []
        self.raises: Exception = LoadFailed("It cannot be loaded.")

    def __call__(self, folder: Path) -> Report:
        content = (folder / "MLmodel").read_bytes()
        self.probed.append(content)
        if content in self.broken:
            raise self.raises
        return Report()


class World:
    """One machine's state folder and the registry that it follows."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = StatePaths(root / "state")
        self.registry = MemoryRegistry(page_size=3)
        self.probe = FakeProbe()
        self.now = 1_000_000.0
        self.patterns = ("*",)
        self.budget = 10**6
        self.workers: Executor = AtOnce()
        self.reads: list[str | None] = []
        self.how = Follower()
        self.start()

    def start(self) -> None:
        """Start a resolver, as after a restart."""
        store = Store(self.paths.store, self.budget)
        store.clean()
        index = Index(self.paths.store / "index.json")
        preparer = Preparer(self.registry, store, index, self.probe, 10_000)

        def read(known: frozenset[str], served: frozenset[str], sweep: Sweep | None, /) -> Any:
            self.reads.append(sweep and sweep.page)
            return read_registry(self.registry, self.patterns, known, served, sweep)

        work = Work(read, preparer.prepare, store.evict, AtOnce(), self.workers, self.how)
        self.resolver = Resolver(work, Publisher(self.paths), DemandFolder(self.paths.demand), 1.0)

    def register(self, name: str, content: str, *aliases: str) -> str:
        folder = self.root / "artifacts" / name / content
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "MLmodel").write_text(content)
        version = self.registry.register(name, folder)
        for alias in aliases:
            self.registry.set_alias(name, alias, version)
        return version

    def settle(self, seconds: float = 3.0) -> Snapshot:
        step = 0.5 if seconds < 100 else 5.0
        for _ in range(int(seconds / step)):
            self.now += step
            self.resolver.tick(self.now)
        snapshot = read_snapshot(self.paths.snapshot)
        assert snapshot == self.resolver.snapshot
        return snapshot

    def model(self, name: str = "fraud") -> ModelEntry:
        return self.resolver.snapshot.models[name]

    def live(self, name: str = "fraud") -> dict[str, int] | None:
        route = self.model(name).route
        return {arm.version: arm.weight for arm in route.arms} if route else None
