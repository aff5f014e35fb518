"""Answers kept for a while, least recently used first out, and questions that are being answered just now."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import count
from typing import Final

from serving.cache.footprint import own_copy
from serving.cache.question import Question, Source
from serving.values import Outputs
from stagedoor.domain.tuning import Caching

LARGEST_SHARE: Final = 4
"""One answer may take a fourth of its model's budget; a larger one would drive out too many others."""


class Abandoned(Exception):
    """Whoever was to answer the question has gone without an answer and without an error."""


Done = Callable[[Outputs | Exception], None]


@dataclass(slots=True)
class _Kept:
    """An answer, the bytes it takes, the time from which it counts, and when it was used last, in turns."""

    outputs: Outputs
    size: int
    at: float
    used: int


class _Shelf:
    """The answers of one model, by source. All of them share one budget."""

    __slots__ = ("by_source", "size")

    def __init__(self) -> None:
        self.by_source: dict[Source, OrderedDict[bytes, _Kept]] = {}
        self.size = 0

    def take_out(self, source: Source, digest: bytes) -> None:
        answers = self.by_source[source]
        self.size -= answers.pop(digest).size
        if not answers:
            del self.by_source[source]

    def take_out_oldest(self) -> None:
        """Of few sources, the one whose least recently used answer is the oldest."""
        source = min(self.by_source, key=lambda one: next(iter(self.by_source[one].values())).used)
        self.take_out(source, next(iter(self.by_source[source])))

    def drop(self, source: Source) -> None:
        self.size -= sum(kept.size for kept in self.by_source.pop(source, {}).values())


class Flight:
    """A question that another request is answering."""

    __slots__ = ("_cache", "_outcome", "_waiting", "began", "wanted")

    def __init__(self, cache: "ResponseCache", began: float) -> None:
        self._cache = cache
        self._outcome: Outputs | Exception | None = None
        self._waiting: list[Done] = []
        self.began = began
        self.wanted = True

    def join(self, done: Done) -> None:
        """Have `done` called once: with the answer, or with what came instead of one, upon which it is best to run alone.

        It is called in the thread of whoever answers; in this one, before `join` returns, if there is an outcome already.
        It must not raise, and it is never called if that request ends without a word: keep the deadline of your own.
        """
        with self._cache.lock:
            outcome = self._outcome
            if outcome is None:
                self._waiting.append(done)
                return
        done(outcome)

    def land(self, outcome: Outputs | Exception) -> list[Done]:
        """Note the outcome, if it is the first one, and return who waits for it. The caller holds the lock."""
        if self._outcome is not None:
            return []
        self._outcome = outcome
        waiting, self._waiting = self._waiting, []
        return waiting


class Lead:
    """A question that the caller is to answer, and others may be waiting for: call exactly one of the three, once."""

    __slots__ = ("_cache", "_caching", "_flight", "_question")

    def __init__(self, cache: "ResponseCache", question: Question, caching: Caching, flight: Flight) -> None:
        self._cache = cache
        self._question = question
        self._caching = caching
        self._flight = flight

    def fill(self, outputs: Outputs, now: float) -> None:
        """Keep a copy of the answer, which counts from `now`, and hand it to those who joined. Costs a copy of the arrays."""
        try:
            kept, size = own_copy(outputs)
        except Exception:  # noqa: BLE001  a model may answer objects that cannot be copied: they are not kept
            self._cache.land(self._question, self._flight, outputs)
            return
        self._cache.keep(self._question, self._flight, self._caching, _Kept(kept, size, now, 0))

    def fail(self, error: Exception) -> None:
        """Keep nothing, and tell those who joined why there is no answer."""
        self._cache.land(self._question, self._flight, error)

    def abandon(self) -> None:
        """Keep nothing, and let those who joined go on alone."""
        self._cache.land(self._question, self._flight, Abandoned())


class ResponseCache:
    """The answers that one worker keeps, of all its models. Safe to use from any number of threads; nothing here waits.

    Times are seconds of one clock that never goes back. `patience_seconds` is how long a question may be under way before
    another request answers it anew.
    """

    def __init__(self, patience_seconds: float) -> None:
        self.lock = threading.Lock()
        self._patience = patience_seconds
        self._shelves: dict[str, _Shelf] = {}
        self._flights: dict[Question, Flight] = {}
        self._turns = count(1)

    def find(self, question: Question, caching: Caching, now: float) -> Outputs | Flight | Lead:
        """A kept answer, whose arrays cannot be written to; or the flight to join; or the caller is to answer.

        A shorter time than an answer was kept under holds at once, a smaller budget with the next answer that is kept.
        """
        source, digest = question
        with self.lock:
            shelf = self._shelves.get(source.model)
            answers = shelf.by_source.get(source) if shelf is not None else None
            kept = answers.get(digest) if answers is not None else None
            if shelf is not None and answers is not None and kept is not None:
                if 0 <= now - kept.at < caching.ttl_seconds:
                    kept.used = next(self._turns)
                    answers.move_to_end(digest)
                    return kept.outputs
                shelf.take_out(source, digest)
            flight = self._flights.get(question)
            if flight is not None and now - flight.began < self._patience:
                return flight
            flight = self._flights[question] = Flight(self, now)
            return Lead(self, question, caching, flight)

    def drop(self, source: Source) -> None:
        """Forget a version's answers, and keep none that are still under way."""
        self._forget(lambda one: one == source)

    def retain(self, sources: Collection[Source]) -> None:
        """Forget all but these versions' answers: whatever has left, or has lost its tag."""
        self._forget(lambda one: one not in sources)

    def sizes(self) -> dict[str, int]:
        """The bytes that each model's answers take here."""
        with self.lock:
            return {model: shelf.size for model, shelf in self._shelves.items()}

    # --- for Lead and Flight ------------------------------------------------------------------------------------------

    def keep(self, question: Question, flight: Flight, caching: Caching, kept: _Kept) -> None:
        """Take in an answer, make room for it, and hand it to those who joined."""
        source, digest = question
        with self.lock:
            if flight.wanted and kept.size * LARGEST_SHARE <= caching.max_bytes:
                shelf = self._shelves.setdefault(source.model, _Shelf())
                answers = shelf.by_source.setdefault(source, OrderedDict())
                if digest in answers:
                    shelf.size -= answers.pop(digest).size
                kept.used = next(self._turns)
                answers[digest] = kept
                shelf.size += kept.size
                while shelf.size > caching.max_bytes:
                    shelf.take_out_oldest()
        self.land(question, flight, kept.outputs)

    def land(self, question: Question, flight: Flight, outcome: Outputs | Exception) -> None:
        """End a flight and tell those who joined."""
        with self.lock:
            if self._flights.get(question) is flight:
                del self._flights[question]
            waiting = flight.land(outcome)
        for done in waiting:
            done(outcome)

    def _forget(self, leaves: Callable[[Source], bool]) -> None:
        gone = []  # freed outside the lock
        with self.lock:
            for model, shelf in list(self._shelves.items()):
                for source in [one for one in shelf.by_source if leaves(one)]:
                    gone.append(shelf.by_source[source])
                    shelf.drop(source)
                if not shelf.by_source:
                    del self._shelves[model]
            for question in [one for one in self._flights if leaves(one.source)]:
                self._flights.pop(question).wanted = False
