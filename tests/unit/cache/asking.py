"""Questions to a response cache, and the ways to ask them."""

import numpy as np

from serving.cache import Flight, Lead, Question, ResponseCache, Source
from serving.values import Outputs
from stagedoor.domain.tuning import Caching

ONE, TWO, OTHER = Source("fraud", "1", "aa"), Source("fraud", "2", "bb"), Source("churn", "1", "cc")
MINUTE = Caching(60.0, 1_000_000)


def asks(number: int, source: Source = ONE) -> Question:
    return Question(source, number.to_bytes(32))


def answer(value: float = 1.0, size: int = 3) -> Outputs:
    return Outputs.of_array(np.full(size, value))


def cache() -> ResponseCache:
    return ResponseCache(30.0)


def lead(of: ResponseCache, question: Question, now: float = 0.0, caching: Caching = MINUTE) -> Lead:
    found = of.find(question, caching, now)
    assert isinstance(found, Lead)
    return found


def filled(of: ResponseCache, *questions: Question, caching: Caching = MINUTE, size: int = 3) -> None:
    for question in questions:
        lead(of, question, caching=caching).fill(answer(size=size), 0.0)


def kept(of: ResponseCache, question: Question, now: float = 1.0, caching: Caching = MINUTE) -> bool:
    found = of.find(question, caching, now)
    if isinstance(found, Lead):
        found.abandon()
    return isinstance(found, Outputs)


def joined(of: ResponseCache, question: Question, now: float = 0.0) -> Flight:
    found = of.find(question, MINUTE, now)
    assert isinstance(found, Flight)
    return found
