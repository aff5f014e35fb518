"""The versions of one gateway worker: follows the machine's snapshot, loads what it names, and swaps as a whole.

Readers take `pool.view` once per request; it is replaced by one assignment, so a request sees the old moment or the new
one and never a mixture. Old versions live on for as long as a request holds them.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as StillLoading
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from serving.loading.loaders.options import LoadOptions
from serving.loading.version import Version, load_version
from serving.pool.heap import relax
from serving.pool.report import describe, remove_report, sweep, write_report
from serving.pool.shelf import Shelf
from serving.pool.view import EMPTY, Key, LiveModel, View, advance, ready_keys, route_keys, version_key, with_stand_ins
from serving.snapshot_file import demand_version, read_heartbeat, read_snapshot
from serving.store import folder_of, verify
from stagedoor.domain.snapshot import NOTHING, ModelEntry, Snapshot
from stagedoor.errors import ArtifactError, ModelNotFound, StagedoorError, VersionNotReady, VersionRefused
from stagedoor.paths import StatePaths
from stagedoor.settings import MIB, Settings
from stagedoor.telemetry import get_logger

__all__ = ["LiveModel", "Pool", "View"]

LOOK_SECONDS: Final = 0.02
REPORT_SECONDS: Final = 1.0
DEMAND_AGAIN_SECONDS: Final = 300.0
_STOP_SECONDS: Final = 5.0

Stamp = tuple[int, int, int]


class Pool:
    """Keeps `view` at the newest snapshot whose versions could be loaded. One watching thread; loads run beside it."""

    def __init__(self, settings: Settings, paths: StatePaths, clock: Callable[[], float] = time.monotonic) -> None:
        self.view: View = EMPTY
        self._paths = paths
        self._options = LoadOptions.of(settings)
        self._stale_after = settings.stale_after_seconds
        self._clock = clock
        self._snapshot: Snapshot = NOTHING
        self._stamp: Stamp | None = None
        self._missing: tuple[Key, ...] = ()
        self._news = threading.Condition()
        self._due = True
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._shelf = Shelf(self._load, settings.memory_budget_mib * MIB, self._mark, clock)
        self._started_at = 0.0
        self._reported_at = 0.0
        self._demanded_at = clock()
        self._log: Any = get_logger()

    def start(self) -> None:
        """Read the snapshot and start following it. Returns at once; `view.serial` is 0 until all of it has been tried."""
        self._started_at = time.time()
        relax()
        sweep(self._paths.workers)
        self._thread = threading.Thread(target=self._watch, name="pool", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following. What is loaded stays usable."""
        self._stopping.set()
        self._mark()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        remove_report(self._paths.workers)

    def load(self, name: str, version: str, deadline_seconds: float) -> Version:
        """A version that need not be in the view: from memory, else from the store, else asked of the resolver.

        Blocks for at most `deadline_seconds`; never call it from an event loop. Raises ModelNotFound, VersionNotReady
        (it may come yet) and VersionRefused (it cannot be served; says why).
        """
        ref = f"{name}/{version}"
        deadline = self._clock() + deadline_seconds
        demanded = False
        while True:
            snapshot = self._snapshot
            entry = snapshot.models.get(name)
            key = version_key(entry, version) if entry is not None else None
            if entry is not None and key is not None:
                return self._fetched(key, entry, ref, deadline)
            if not demanded:
                demand_version(self._paths, name, version)
                demanded = True
            _refuse_if_hopeless(entry, version, ref)
            with self._news:
                left = deadline - self._clock()
                if left <= 0:
                    raise VersionNotReady(ref)
                if self._snapshot is snapshot:
                    self._news.wait(left)

    def _fetched(self, key: Key, entry: ModelEntry, ref: str, deadline: float) -> Version:
        future = self._shelf.fetch(key, entry.versions[key.version].memory_bytes)
        try:
            return future.result(max(0.0, deadline - self._clock()))
        except StillLoading:
            raise VersionNotReady(ref) from None
        except ArtifactError as error:
            raise VersionRefused(ref, error.reason) from error

    def _load(self, key: Key) -> Version:
        if key.compiled:
            try:
                return self._load_files(key, key.compiled)
            except ArtifactError as error:
                self._log.error("compiled_form_not_loaded", model=key.name, version=key.version, reason=str(error))
                if any(other.content == key.content for other in self._shelf.loaded()):
                    raise  # what serves now goes on, and is not loaded twice
        return self._load_files(key, key.digest)

    def _load_files(self, key: Key, digest: str) -> Version:
        folder = folder_of(self._paths.store, digest)
        verify(folder, digest)
        return load_version(folder, key.name, key.version, key.digest, self._options)

    # --- the watching thread ---

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step()
            except Exception as error:  # noqa: BLE001  whatever is wrong with one look, the next one may be right
                self._log.error("pool_step_failed", error=type(error).__name__, exc_info=error)
                self._stopping.wait(REPORT_SECONDS)
            with self._news:
                if not self._due:
                    self._news.wait(LOOK_SECONDS)

    def step(self) -> None:
        """One look: read the snapshot if it is a new one, start the loads it needs, swap the view, report."""
        fresh = self._read()
        with self._news:
            due, self._due = self._due or fresh, False
        now = self._clock()
        report = due or now - self._reported_at >= REPORT_SECONDS
        if report:
            self._look_at_the_age(time.time())
        if due or self._shelf.is_retry_due(self._missing):
            self._settle()
        if report:
            self._report(now)
        if now - self._demanded_at >= DEMAND_AGAIN_SECONDS:
            self._demand_again(now)

    def _read(self) -> bool:
        stamp = _stamp_of(self._paths.snapshot)
        if stamp is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            snapshot = read_snapshot(self._paths.snapshot)
        except (OSError, StagedoorError) as error:
            self._log.error("snapshot_unreadable", error=str(error))
            return False
        if snapshot.serial <= self._snapshot.serial:
            return False
        with self._news:
            self._snapshot = snapshot
            self._news.notify_all()
        return True

    def _settle(self) -> None:
        """Bring into force what can be, and start loading what is missing."""
        snapshot = self._snapshot
        before, loaded = self.view, self._shelf.loaded()
        step = advance(before, snapshot, loaded, self._shelf.failures())
        self.view = step.view
        self._missing = (*step.missing, *step.beside)
        known = {key for entry in self._entries() for key in ready_keys(entry)}
        taking, beside = (with_stand_ins(keys, loaded) for keys in route_keys(step.view, snapshot))
        self._shelf.keep(taking, beside, with_stand_ins(known, loaded))
        for key in self._missing:
            self._shelf.fetch(key, snapshot.models[key.name].versions[key.version].memory_bytes)
        for name, live in step.view.models.items():
            old = before.models.get(name)
            route = live.entry.route
            if route is not None and (old is None or old.entry.route != route):
                arms = {arm.name: arm.version for arm in route.arms}
                self._log.info("route_in_force", model=name, epoch=route.epoch, arms=arms, serial=snapshot.serial)

    def _entries(self) -> list[ModelEntry]:
        return [*(live.entry for live in self.view.models.values()), *self._snapshot.models.values()]

    def _mark(self) -> None:
        """Something changed: look again at once."""
        with self._news:
            self._due = True
            self._news.notify_all()

    def _look_at_the_age(self, now: float) -> None:
        """Note whether the registry has been read of late. Each second; a snapshot's age says nothing of it."""
        heartbeat = read_heartbeat(self._paths.heartbeat)
        age = heartbeat.staleness(now) if heartbeat is not None else None
        stale = age is None or age > self._stale_after
        if stale != self.view.stale:
            self.view = replace(self.view, stale=stale)
            if age is not None:
                self._log.warning("registry_stale" if stale else "registry_fresh", staleness_seconds=round(age, 3))

    def _report(self, now: float) -> None:
        self._reported_at = now
        try:
            write_report(self._paths.workers, describe(self.view, self._shelf.failures(), self._started_at, time.time()))
        except OSError as error:
            self._log.warning("report_not_written", error=type(error).__name__)

    def _demand_again(self, now: float) -> None:
        """Tell the resolver which versions without a name are still in use, or it would forget them."""
        since, self._demanded_at = self._demanded_at, now
        named = {
            (entry.name, version) for entry in self._entries() for version in (*entry.aliases.values(), *entry.stages.values())
        }
        for key, version in self._shelf.loaded().items():
            if (key.name, key.version) not in named and getattr(version.predictor, "at", 0.0) >= since:
                with contextlib.suppress(OSError):
                    demand_version(self._paths, key.name, key.version)


def _refuse_if_hopeless(entry: ModelEntry | None, version: str, ref: str) -> None:
    found = entry.versions.get(version) if entry is not None else None
    if found is None or found.state != "refused":
        return
    if found.code == "model_not_found":
        raise ModelNotFound(ref)
    raise VersionRefused(ref, found.reason)


def _stamp_of(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
