"""The resolver's parts, put together from settings, and the process around them."""

import fcntl
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from serving.compiling.promotion import compile_version, is_candidate, tools
from serving.loading.loaders.options import LoadOptions
from serving.resolver.compiled import CompiledForms
from serving.resolver.demands import DemandFolder
from serving.resolver.index import Index
from serving.resolver.preparing import Preparer, Probe
from serving.resolver.progress import Means
from serving.resolver.publishing import Publisher
from serving.resolver.resolver import Resolver, Work
from serving.store import Store
from stagedoor.domain.follow import Follower
from stagedoor.errors import ConfigurationError
from stagedoor.paths import StatePaths
from stagedoor.registry.mlflow_http import TokenSource
from stagedoor.registry.port import Registry
from stagedoor.registry.reading import read_registry
from stagedoor.settings import MIB, Settings

PREPARATIONS: Final = 4
"""Versions prepared at once: one that hangs until its deadline must not hold up the others."""
COMPILATIONS: Final = 1
"""Versions compiled at once: it takes a processor that the gateway needs, and what waits is served meanwhile."""
LOOK_EVERY: Final = 0.02
LOCK_WAIT: Final = 5.0
TOKEN_LIFE: Final = 3600.0


def build_resolver(settings: Settings, paths: StatePaths, registry: Registry, probe: Probe) -> Resolver:
    """Wire a resolver. Its threads start with its first tick."""
    store = Store(paths.store, settings.disk_budget_mib * MIB)
    store.clean()
    index = Index(paths.store / "index.json")
    forms = _compiled_forms(settings, paths, registry, store, index) if settings.compile else None
    budget = settings.memory_budget_mib * MIB
    preparer = Preparer(registry, store, index, probe, budget, *([forms.form] if forms else []))

    def evict(keep: frozenset[str]) -> frozenset[str]:
        gone = store.evict(keep)
        if gone:
            index.forget(gone)
        return gone

    work = Work(
        read=partial(read_registry, registry, settings.models),
        prepare=preparer.prepare,
        evict=evict,
        reader=ThreadPoolExecutor(1, "read"),
        workers=ThreadPoolExecutor(PREPARATIONS, "prepare"),
        how=Follower(settings.follow, settings.node),
        compiling=Means(forms.compile, ThreadPoolExecutor(COMPILATIONS, "compile")) if forms else None,
    )
    demands = DemandFolder(paths.demand)
    return Resolver(work, Publisher(paths), demands, settings.poll_seconds, random.random)


def _compiled_forms(settings: Settings, paths: StatePaths, registry: Registry, store: Store, index: Index) -> CompiledForms:
    compiler = partial(
        compile_version,
        store=store,
        golden=paths.control / "golden",
        options=LoadOptions.of(settings),
        timeout=settings.compile_timeout_seconds,
    )
    return CompiledForms(registry, store, index, compiler, is_candidate, tools())


def run(resolver: Resolver, stop: threading.Event) -> None:
    """Tick until `stop` is set. Files are looked at 50 times a second: cheap, and the same on every file system."""
    while not stop.wait(LOOK_EVERY):
        resolver.tick(time.time())


@contextmanager
def only_one(paths: StatePaths) -> Iterator[None]:
    """Be the one resolver of this state folder, waiting a few seconds for one that is ending.

    Raises ConfigurationError if another keeps running, or the folder cannot be written.
    """
    path = paths.snapshot.with_name("resolver.lock")
    handle = _open(path)
    try:
        deadline = time.monotonic() + LOCK_WAIT
        while not _lock(handle):
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    "Another resolver runs on this state folder. End it first, or choose another folder"
                    " with STAGEDOOR_STATE_DIR."
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError("The state folder cannot be written. Choose another with STAGEDOOR_STATE_DIR.") from error


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def token_source(settings: Settings) -> TokenSource:
    """The token for MLflow: the configured one; else our own, renewed at half its life; else none."""
    if settings.mlflow_token is not None:
        fixed = settings.mlflow_token.get_secret_value()
        return lambda: fixed
    from stagedoor.auth import issue_token  # noqa: PLC0415  brings in cryptography, which a fixed token does without

    issued: tuple[float, str | None] = (float("-inf"), None)

    def own() -> str | None:
        nonlocal issued
        now = time.time()
        if now - issued[0] > TOKEN_LIFE / 2:
            try:
                token = issue_token(
                    settings, subject="stagedoor-resolver", roles=("promoter",), lifetime_seconds=TOKEN_LIFE, now=now
                )
            except ConfigurationError:  # only public keys are configured: MLflow's own protection decides
                token = None
            issued = (now, token)
        return issued[1]

    return own
