"""Who answers for a version: this thread, another one, one with several callers' rows at once, or an answer that is known.

Only requests that ask for an answer and nothing else are answered from what is kept: evidence, copies and drills want a run.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from serving import metrics
from serving.batchers import Batchers
from serving.batching import Batcher
from serving.cache import Flight, Lead, Question, ResponseCache, Source, question, rights_of
from serving.cores import part_of
from serving.exchange import Attempt
from serving.http import Reply
from serving.loading.version import Version
from serving.pool import Pool, View
from serving.rooms import Room
from serving.running import run
from serving.solo import Solos
from serving.values import Outputs
from stagedoor.auth import Principal
from stagedoor.errors import Overloaded
from stagedoor.settings import Settings

Done = Callable[[Outputs | Exception], None]
TakeBack = Callable[[], bool]
"""True: the work had not begun, and never will."""


class _Quarters(NamedTuple):
    room: Room
    batchers: Batchers
    solos: Solos


class Crew:
    """The threads, batchers and kept answers of one worker. Safe to use from any number of threads."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._pool = pool
        self._seen: View | None = None
        wait = settings.model_queue_milliseconds / 1000
        self._stable = _quarters(Room(settings.threads, settings.queue_limit, "predict"), wait)
        # Of their own, and with a short queue: versions on trial that hang take no thread from the stable ones.
        self._trial = _quarters(Room(settings.threads, settings.threads, "trial"), wait)
        self._kept = ResponseCache(settings.predict_timeout_seconds)
        self._shown: set[str] = set()  # models of which the gauge shows that something is kept

    def share_cores(self, workers: int) -> None:
        """Take this worker's part of the cores, where so many have the machine."""
        self._stable.solos.cores = self._trial.solos.cores = part_of(workers)

    def run(self, attempt: Attempt, principal: Principal) -> Outputs:
        """The answer to what `attempt` has decoded, here and now. Raises ModelFailed and InvalidOutput."""
        if not self._shown and attempt.choice.tuning.cache is None:
            return run(attempt)  # most versions have no cache: no more calls than it takes
        asked = self._asked(attempt, principal)
        if asked is None:
            return run(attempt)
        found = self._find(attempt, asked)
        if isinstance(found, Outputs):
            return found
        if isinstance(found, Flight):
            attempt.kept = "miss"
            return run(attempt)  # to wait for it would hold up others
        try:
            outputs = run(attempt)
        except Exception as error:
            found.fail(error)
            raise
        self._fill(attempt, found, outputs)
        return outputs

    def has_room(self, attempt: Attempt) -> bool:
        """Whether one more request would wait for no longer than is allowed, before anything is spent on reading it.

        One whose answer may be known has to be read for that to be seen.
        """
        version = attempt.version
        if version is None or attempt.choice.tuning.cache is not None:
            return True
        batcher = self._batcher(attempt)
        return self._place(attempt).solos.of(version).has_room() if batcher is None else batcher.has_room(1)

    def start(self, attempt: Attempt, principal: Principal, done: Done) -> TakeBack:
        """The same by another thread, which calls `done`; in this one where the answer is known. Raises Overloaded."""
        asked = self._asked(attempt, principal)
        if asked is None:
            return self._start(attempt, done)
        found = self._find(attempt, asked)
        if isinstance(found, Outputs):
            done(found)
            return _too_late
        if isinstance(found, Flight):
            return self._join(attempt, found, done)
        return self._lead(attempt, found, done)

    def whole(self, attempt: Attempt, work: Callable[[], Reply], done: Callable[[Callable[[], Reply]], None]) -> TakeBack:
        """Run `work` in a thread, all of it; `done` gets what gives its result or raises its error. Raises Overloaded."""
        future = self._place(attempt).room.submit(work)
        future.add_done_callback(lambda ended: done(ended.result))
        return future.cancel

    def close(self) -> None:
        """Let running work end and take no more."""
        self._stable.room.close()
        self._trial.room.close()

    def _place(self, attempt: Attempt) -> _Quarters:
        return self._stable if attempt.fallback is None else self._trial

    def _start(self, attempt: Attempt, done: Done) -> TakeBack:
        version, decoded = attempt.version, attempt.decoded
        assert version is not None and decoded is not None  # noqa: PT018, S101  it has been read
        batcher = self._batcher(attempt)
        if batcher is not None:
            return batcher.submit(decoded.inputs, done).cancel

        def work() -> None:
            try:
                answer: Outputs | Exception = run(attempt)
            except Exception as error:  # noqa: BLE001  it belongs to whoever waits for the answer
                answer = error
            done(answer)

        return self._place(attempt).solos.of(version).submit(work, lambda: done(Overloaded()))

    def _batcher(self, attempt: Attempt) -> Batcher | None:
        version, choice = attempt.version, attempt.choice
        if version is None or (choice.trial is not None and choice.trial.fault is not None):
            return None
        return self._place(attempt).batchers.of(version, choice.tuning)

    # --- kept answers -------------------------------------------------------------------------------------------------

    def _asked(self, attempt: Attempt, principal: Principal) -> Question | None:
        if self._shown:
            self._tidy()
        return _question(attempt, principal)

    def _find(self, attempt: Attempt, asked: Question) -> Outputs | Flight | Lead:
        caching = attempt.choice.tuning.cache
        assert caching is not None  # noqa: S101  else there were no question
        found = self._kept.find(asked, caching, time.monotonic())
        attempt.kept = "hit" if isinstance(found, Outputs) else "joined" if isinstance(found, Flight) else "miss"
        return found

    def _fill(self, attempt: Attempt, lead: Lead, outputs: Outputs) -> None:
        lead.fill(outputs, time.monotonic())
        self._tidy()
        model = attempt.choice.model
        self._shown.add(model)
        metrics.CACHE_BYTES.labels(model).set(self._kept.sizes().get(model, 0))

    def _tidy(self) -> None:
        """Once for each view: let go of what has left or lost its tag."""
        view = self._pool.view
        if view is self._seen:
            return
        self._seen = view
        self._kept.retain(_sources(view))
        sizes = self._kept.sizes()
        for model in tuple(self._shown):
            metrics.CACHE_BYTES.labels(model).set(sizes.get(model, 0))
            if model not in sizes:
                self._shown.discard(model)

    def _lead(self, attempt: Attempt, lead: Lead, done: Done) -> TakeBack:
        def ended(answer: Outputs | Exception) -> None:
            if isinstance(answer, Exception):
                lead.fail(answer)
            else:
                self._fill(attempt, lead, answer)
            done(answer)

        try:
            take_back = self._start(attempt, ended)
        except Exception:
            lead.abandon()
            raise

        def given_back() -> bool:
            taken = take_back()
            if taken:
                lead.abandon()
            return taken

        return given_back

    def _join(self, attempt: Attempt, flight: Flight, done: Done) -> TakeBack:
        """Wait for what comes of another request. Where it has no answer, this one runs alone, if it is still waited for."""
        alone: list[TakeBack] = []

        def joined(outcome: Outputs | Exception) -> None:
            if isinstance(outcome, Outputs):
                done(outcome)
            elif attempt.outcome is None:
                attempt.kept = "miss"
                try:
                    alone.append(self._start(attempt, done))
                except Overloaded as error:
                    done(error)

        flight.join(joined)
        return lambda: bool(alone) and alone[0]()


def _quarters(room: Room, max_wait_seconds: float) -> _Quarters:
    return _Quarters(room, Batchers(room, max_wait_seconds), Solos(room, max_wait_seconds))


def _question(attempt: Attempt, principal: Principal) -> Question | None:
    """What is asked, if its answer may be known; None where it has to be run."""
    choice, version, decoded = attempt.choice, attempt.version, attempt.decoded
    if choice.tuning.cache is None or choice.trial is not None or version is None or decoded is None:
        return None
    return question(_source(choice.model, version), rights_of(principal), decoded.inputs)


def _sources(view: View) -> frozenset[Source]:
    """The versions whose answers are worth keeping: those in memory of models that have the tag."""
    live = [model for model in view.models.values() if model.entry.tuning.cache is not None]
    return frozenset(_source(model.entry.name, version) for model in live for version in model.loaded.values())


def _source(model: str, version: Version) -> Source:
    return Source(model, version.version, f"{version.digest}+compiled" if version.compiled else version.digest)


def _too_late() -> bool:
    return False
