"""The versions that one worker has in memory: loaded once each, within a budget, the least recently used leaving first."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final

from serving.loading.version import Version
from serving.pool.heap import reclaim
from serving.pool.view import Key
from serving.values import Inputs, Outputs, Predictor, TensorSpec
from stagedoor.errors import ArtifactError, LoadFailed, OverBudget
from stagedoor.settings import MIB
from stagedoor.telemetry import get_logger

FIRST_RETRY_SECONDS: Final = 1.0
LAST_RETRY_SECONDS: Final = 60.0
_AT_ONCE: Final = 2

Load = Callable[[Key], Version]


class Used:
    """A predictor that remembers when it was last called. Only the last writer counts, so no lock is needed."""

    __slots__ = ("_predictor", "at", "inputs", "outputs")

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.inputs: tuple[TensorSpec, ...] = predictor.inputs
        self.outputs: tuple[TensorSpec, ...] = predictor.outputs
        self.at = time.monotonic()

    def predict(self, inputs: Inputs) -> Outputs:
        """What the predictor beneath answers."""
        self.at = time.monotonic()
        return self._predictor.predict(inputs)


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that did not load, and when to try again. `attempts` counts from 1."""

    error: ArtifactError
    attempts: int
    retry_at: float


def retry_delay(attempts: int) -> float:
    """Seconds until the next try: 1, 2, 4, ... 60."""
    return float(min(FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 16), LAST_RETRY_SECONDS))


class Shelf:
    """Loaded versions by Key. Safe to use from several threads; `load` is called in threads of its own.

    `changed` is called after anything came or went.
    """

    def __init__(
        self, load: Load, budget_bytes: int, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._budget = budget_bytes
        self._changed = changed
        self._clock = clock
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._loaded: dict[Key, Version] = {}
        self._flights: dict[Key, tuple[int, Future[Version]]] = {}
        self._failures: dict[Key, Failure] = {}
        self._dropped = False
        self._arms: frozenset[Key] = frozenset()
        self._beside: frozenset[Key] = frozenset()
        self._log: Any = get_logger()

    def loaded(self) -> dict[Key, Version]:
        """What is there now."""
        with self._lock:
            return dict(self._loaded)

    def failures(self) -> dict[Key, Failure]:
        """What could not be loaded."""
        with self._lock:
            return dict(self._failures)

    def is_retry_due(self, wanted: Collection[Key]) -> bool:
        """Whether one of `wanted` failed and may be tried again."""
        now = self._clock()
        with self._lock:
            return any(
                self._failures[key].retry_at <= now for key in wanted if key in self._failures and key not in self._flights
            )

    def keep(self, arms: frozenset[Key], beside: frozenset[Key], known: Collection[Key]) -> None:
        """Never evict `arms`, and what routes want `beside` them only for an arm; forget whatever is not in `known`."""
        with self._lock:
            self._arms, self._beside = arms, beside
            for mapping in (self._loaded, self._failures):
                for key in [key for key in mapping if key not in known]:
                    self._dropped |= has_cycles(mapping.pop(key))

    def fetch(self, key: Key, memory_bytes: int) -> Future[Version]:
        """The version, now or once it is loaded; one load at a time for each key.

        `memory_bytes` is what it is expected to take. A version that failed is not tried again before its time.
        The future fails with an ArtifactError leaf.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight[1]
            future: Future[Version] = Future()
            failure = self._failures.get(key)
            if key in self._loaded:
                future.set_result(self._loaded[key])
            elif failure is not None and failure.retry_at > self._clock():
                future.set_exception(failure.error)
            else:
                self._flights[key] = (memory_bytes, future)
                threading.Thread(target=self._fly, args=(key, memory_bytes, future), name="loader", daemon=True).start()
            return future

    def _fly(self, key: Key, memory_bytes: int, future: Future[Version]) -> None:
        try:
            with self._slots:
                self._make_room(key, memory_bytes)
                version = self._load(key)
        except ArtifactError as error:
            self._land(key, error, future)
        except Exception as error:  # noqa: BLE001  a load must never end in silence: whoever waits would wait for ever
            self._land(key, _unexpected(error), future)
        else:
            known = memory_bytes or version.memory_bytes
            self._land(key, replace(version, predictor=Used(version.predictor), memory_bytes=known), future)

    def _land(self, key: Key, result: Version | ArtifactError, future: Future[Version]) -> None:
        with self._lock:
            del self._flights[key]
            if isinstance(result, Version):
                self._loaded[key] = result
                self._failures.pop(key, None)
            else:
                before = self._failures.get(key)
                attempts = before.attempts + 1 if before else 1
                self._failures[key] = Failure(result, attempts, self._clock() + retry_delay(attempts))
        if isinstance(result, Version):
            self._log.info("version_loaded", model=key.name, version=key.version, warm_seconds=result.warm_seconds)
            future.set_result(result)
        else:
            self._log.warning("version_not_loaded", model=key.name, version=key.version, reason=str(result))
            future.set_exception(result)
        self._changed()

    def _make_room(self, key: Key, memory_bytes: int) -> None:
        """Evict what no route names, least recently used first; for an arm also what routes want beside their arms.

        Raises OverBudget if even that is not enough.
        """
        with self._lock:
            coming = sum(size for other, (size, _) in self._flights.items() if other != key)
            held = {other: version.memory_bytes for other, version in self._loaded.items()}
            room = self._budget - coming - memory_bytes
            leaving = choose_evictions(held, self._arms | self._beside, _last_use(self._loaded), room)
            if leaving is None and key in self._arms:
                leaving = choose_evictions(held, self._arms, _last_use(self._loaded), room)
            if leaving is None:
                raise OverBudget(
                    f"It needs {memory_bytes // MIB} MiB and the versions that take traffic leave less. Raise "
                    "STAGEDOOR_MEMORY_BUDGET_MIB or serve fewer versions."
                )
            for other in leaving:
                self._dropped |= has_cycles(self._loaded.pop(other))
            dropped, self._dropped = self._dropped, False
        for other in leaving:
            self._log.info("version_evicted", model=other.name, version=other.version)
        if dropped:
            reclaim()


def has_cycles(dropped: object) -> bool:
    """Whether what was dropped may need the collector: an ONNX session goes with its last reference, others may not."""
    return isinstance(dropped, Version) and dropped.flavor != "onnx"


def choose_evictions(
    held: Mapping[Key, int], protected: Collection[Key], last_use: Mapping[Key, float], room: int
) -> tuple[Key, ...] | None:
    """Which of `held` (bytes by key) must leave, in order, for the rest to fit into `room`; None if that cannot be."""
    total = sum(held.values())
    leaving = []
    for key in sorted((key for key in held if key not in protected), key=lambda key: last_use[key]):
        if total <= room:
            break
        leaving.append(key)
        total -= held[key]
    return tuple(leaving) if total <= room else None


def _last_use(loaded: Mapping[Key, Version]) -> dict[Key, float]:
    return {key: getattr(version.predictor, "at", 0.0) for key, version in loaded.items()}


def _unexpected(error: Exception) -> LoadFailed:
    failed = LoadFailed(f"Loading it raised {type(error).__name__}. The gateway's log says more.")
    failed.__cause__ = error
    return failed
