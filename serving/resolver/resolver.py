"""The loop's state and its one step. All decisions are made here, in one thread; threads only fetch facts."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from serving.resolver.demands import DemandFolder
from serving.resolver.following import Here, as_last_known, entry_of, is_another, served_models
from serving.resolver.journal import Journal
from serving.resolver.polling import Polling
from serving.resolver.progress import Job, Means, Progress
from serving.resolver.publishing import Publisher
from serving.resolver.schedule import Key, Stage, live_demands
from serving.snapshot_file import Heartbeat
from stagedoor import names
from stagedoor.domain.follow import ALIASES, Follower
from stagedoor.domain.snapshot import ModelEntry, Snapshot
from stagedoor.errors import RegistryError, RegistryUnavailable
from stagedoor.registry.reading import Reading
from stagedoor.registry.sweep import Sweep
from stagedoor.telemetry import get_logger


class Read(Protocol):
    """Reads a page of the registry and the models served, or without a sweep just these. Raises RegistryError."""

    def __call__(self, known: frozenset[str], served: frozenset[str], sweep: Sweep | None, /) -> Reading:
        """See read_registry."""


Evict = Callable[[frozenset[str]], frozenset[str]]
"""Makes room in the store, keeping the digests given; returns those that went."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the loop has done in threads, and `how` it follows. `reader` runs one job at a time, `workers` several.

    `compiling` is for what `prepare` says there is more to do about.
    """

    read: Read
    prepare: Job
    evict: Evict
    reader: Executor
    workers: Executor
    how: Follower = ALIASES
    compiling: Means | None = None

    @property
    def stages(self) -> Mapping[Stage, Means]:
        """What is done about a version, stage by stage."""
        prepare = Means(self.prepare, self.workers)
        return {"prepare": prepare, "compile": self.compiling or prepare}


class Resolver:
    """Follows the registry step by step. `tick` is called many times a second, from one thread."""

    def __init__(
        self,
        work: Work,
        publisher: Publisher,
        demands: DemandFolder,
        poll_seconds: float,
        chance: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._work = work
        self._publisher = publisher
        self._folder = demands
        self._polling = Polling(poll_seconds)
        self._log = get_logger()
        self._journal = Journal()
        self._intent = {name: as_last_known(entry) for name, entry in publisher.snapshot.models.items()}
        self._demands: Mapping[Key, float] = {}
        self._live: frozenset[Key] = frozenset()
        self._dirty: set[str] = set()
        self._anew: set[str] = set()
        self._reading: Future[Reading] | None = None
        self._sweep = Sweep()
        self._served = served_models(publisher.snapshot)
        self._understood = False
        ready = {
            (entry.name, version): found
            for entry in publisher.snapshot.models.values()
            for version, found in entry.versions.items()
            if found.state == "ready"
        }
        self._progress = Progress(work.stages, ready, chance)

    @property
    def snapshot(self) -> Snapshot:
        """What is published."""
        return self._publisher.snapshot

    def tick(self, now: float) -> None:
        """Collect what threads have found, publish what follows from it, and start what is due. Never blocks.

        `now` is in seconds since the epoch.
        """
        self._collect_read(now)
        self._dirty |= self._progress.collect(now)
        self._look_at_demands(now)
        self._publish(now)
        self._start_jobs(now)
        self._start_read(now)
        self._make_room()

    # --- the registry ---

    def _start_read(self, now: float) -> None:
        if self._reading is not None:
            return
        if self._publisher.nudged():
            self._polling.nudge()
        scope = self._polling.begin(now, serving=bool(self._served), pages=self._sweep.pages)
        if scope is not None:
            sweep = self._sweep if scope == "page" else None
            self._reading = self._work.reader.submit(self._work.read, frozenset(self._intent), self._served, sweep)

    def _collect_read(self, now: float) -> None:
        if self._reading is None or not self._reading.done():
            return
        reading, self._reading = self._reading, None
        failure = reading.exception()
        self._polling.end(now, well=failure is None)
        if failure is None:
            self._understand(reading.result())
            self._beat(now, None)
            return
        if not isinstance(failure, RegistryUnavailable):
            self._sweep = Sweep()  # the next page may be what it is about
        if isinstance(failure, RegistryError):
            self._beat(now, str(failure))
        else:
            self._log.error("reading_crashed", exc_info=failure)
            self._beat(now, "Reading the registry failed unexpectedly. The resolver's log says how.")

    def _understand(self, reading: Reading) -> None:
        """Note which models are to be followed anew. A model that is gone, or another of the same name, is forgotten."""
        for name, model in reading.models.items():
            before = self._intent.get(name)
            if model != before:
                self._dirty.add(name)
                if before is not None and is_another(model, before):
                    self._anew.add(name)
                    self._progress.forget(name)
                elif before is not None and before.tags.get(names.TAG_COMPILE) != model.tags.get(names.TAG_COMPILE):
                    self._progress.prepare_again(name)
        for name in self._intent.keys() & reading.gone:
            self._dirty.add(name)
            self._progress.forget(name)
        now_known = {**self._intent, **reading.models}
        self._intent = {name: model for name, model in now_known.items() if name not in reading.gone}
        if reading.sweep is not None:
            self._sweep = reading.sweep
            self._understood = self._understood or not self._sweep.page
        if not self._understood:
            self._polling.go_on()

    def _beat(self, now: float, error: str | None) -> None:
        before = self._publisher.heartbeat
        if error is not None and (before is None or before.error is None):
            self._log.warning("registry_unreadable", why=error)
        if error is None and before is not None and before.error is not None:
            self._log.info("registry_readable_again")
        succeeded_at = now if error is None else before.succeeded_at if before else None
        problems = sum(len(entry.problems) for entry in self.snapshot.models.values())
        beat = Heartbeat(self._polling.began, succeeded_at, error, self._polling.seconds, len(self._intent), problems)
        self._publisher.beat(beat)

    # --- versions ---

    def _look_at_demands(self, now: float) -> None:
        seen = self._folder.look(now)
        if seen is not None:
            self._demands = seen
        if seen is None and now < self._progress.next_try and not self._dirty:
            return
        live = live_demands(self._demands, self._progress.known, now)
        if live != self._live:
            self._dirty.update(name for name, _ in live ^ self._live)
            self._live = live
        if len(live) != len(self._demands):
            self._folder.keep(live)
            self._demands = {key: self._demands[key] for key in live}

    def _start_jobs(self, now: float) -> None:
        wanted = {(name, version) for name, entry in self.snapshot.models.items() for version in entry.versions}
        self._progress.start(frozenset(wanted), now)

    def _make_room(self) -> None:
        """Only while nothing is being prepared: what has just been fetched is known to nobody yet."""
        if not self._progress.fetched or self._progress.busy:
            return
        found = [found for entry in self.snapshot.models.values() for found in entry.versions.values()]
        gone = self._work.evict(frozenset({one.digest for one in found} | {one.compiled for one in found}) - {""})
        self._progress.forget_files(gone)

    # --- what follows from it ---

    def _publish(self, now: float) -> None:
        if not self._understood and not self.snapshot.models:
            return  # the first of a large registry's pages are no snapshot for workers to begin with
        first = self.snapshot.serial == 0
        if not self._dirty and not first:
            return
        serial = self.snapshot.serial + 1
        models = dict(self.snapshot.models)
        changed = []
        for name in sorted(self._dirty):
            before = models.pop(name, None)
            after = self._followed(name, before, serial)
            if after is not None:
                models[name] = after
            if after != before:
                changed.append((before, after))
        if changed or first:  # an empty registry is worth a snapshot too: workers wait for the first
            if not self._publisher.publish(Snapshot(serial, models), now):
                return
            self._served = served_models(self.snapshot)
            for before, after in changed:
                self._journal.record(serial, before, after)
                self._progress.forget_failures(_left(before, after))
            self._progress.look_again()
        self._dirty.clear()
        self._anew.clear()

    def _followed(self, name: str, before: ModelEntry | None, serial: int) -> ModelEntry | None:
        model = self._intent.get(name)
        if model is None:
            return None
        live = frozenset(v for other, v in self._live if other == name)
        here = Here(live, partial(self._progress.entry, name), partial(self._progress.is_uncompiled, name))
        return entry_of(self._work.how, model, None if name in self._anew else before, here, serial)


def _left(before: ModelEntry | None, after: ModelEntry | None) -> set[Key]:
    """The versions of a model that nobody wants any more."""
    if before is None:
        return set()
    return {(before.name, version) for version in before.versions.keys() - (after.versions.keys() if after else set())}
