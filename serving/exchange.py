"""One request on its way, and the attempts of versions to answer it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, NamedTuple

from serving import metrics
from serving.codecs import Decoded, Wire
from serving.http import Request
from serving.loading.version import Version
from serving.routing import Choice
from serving.targets import Target
from stagedoor.auth import Principal, Recognised
from stagedoor.errors import MalformedHeader

_ONCE: Final = ("authorization", "x-request-id", "content-type", "content-length")

CODINGS: Final = "content-encoding"
"""Sent twice it is one list of codings (RFC 9110, 5.3 and 8.4), as WSGI shows it anyway."""


Failure = Exception
"""Whatever an attempt raised. A name of its own: mypyc finds no built-in exception by name in a NamedTuple."""


class Clearance(NamedTuple):
    """What the plane found out from a head alone: who asks, for what, and whether the body will be too large.

    `request_id` is the caller's own, "" where a new one is to be made.
    """

    recognised: Recognised
    target: Target
    request_id: str
    packed: str | None
    is_too_large: bool


@dataclass(slots=True)
class Head:
    """A request without its body. Header names are in lower case; `repeated` holds those sent more than once.

    `clearance` is the plane's: a head that comes again on its connection needs no second look.
    """

    path: str
    query: str
    headers: Mapping[str, str]
    repeated: frozenset[str] = frozenset()
    remote: str = ""
    clearance: Clearance | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, request: Request) -> "Head":
        """The head of a whole request."""
        seen: dict[str, str] = {}
        repeated = set()
        for name, value in request.headers:
            if name not in seen:
                seen[name] = value
                continue
            repeated.add(name)
            if name == CODINGS:
                seen[name] += f", {value}"
        return cls(request.path, request.query, seen, frozenset(repeated), request.remote)

    def refuse_repeated(self) -> None:
        """Raise MalformedHeader where a header was sent twice that can mean one thing only."""
        for name in _ONCE:
            if name in self.repeated:
                raise MalformedHeader(name.title(), "send it once")


class Attempt:
    """One version's try at a request. It has one outcome, whoever is first to say it: the thread it runs in, or the waiter.

    So each attempt that was assigned is counted once under exactly one outcome, and one that nobody waits for any more is
    never assigned. `bucket` and `unit` are as in Routed. `began` is when the version was handed the request,
    in seconds of the performance counter. `kept` says how the response cache took part: hit, miss or joined; "" where it did
    not.
    """

    __slots__ = ("_guard", "assigned", "began", "bucket", "choice", "decoded", "kept", "outcome", "unit", "version", "wire")

    def __init__(self, choice: Choice, bucket: int | None = None, unit: int | None = None) -> None:
        self.choice = choice
        self.bucket = bucket
        self.unit = unit
        self.version: Version | None = choice.loaded
        self.wire: Wire | None = None
        self.decoded: Decoded | None = None
        self.began = 0.0
        self.assigned = False
        self.outcome: str | None = None
        self.kept = ""
        self._guard = Lock()

    @property
    def fallback(self) -> Choice | None:
        """What answers where this one fails."""
        trial = self.choice.trial
        return trial.fallback if trial is not None else None

    def assign(self) -> bool:
        """Count the version as given the request, before it predicts; False, and nothing counted, where it is too late.

        Where it is evidence the counter goes up at once: a version that takes the process down must not lose it. Elsewhere
        it goes up with the outcome.
        """
        with self._guard:
            if self.outcome is not None:
                return False
            self.assigned = True
        self._count_evidence()
        return True

    def settle(self, outcome: str) -> str:
        """Say what came of it. Returns the outcome that holds: the first one said."""
        with self._guard:
            if self.outcome is None:
                self.outcome = outcome
            return self.outcome

    def assign_late(self) -> None:
        """Count it as assigned if it was not: for what the version has to answer for without having been run."""
        if not self.assigned:
            self.assigned = True
            self._count_evidence()

    def _count_evidence(self) -> None:
        trial = self.choice.trial
        if trial is not None and trial.epoch:
            choice = self.choice
            metrics.assigned(choice.model, choice.version, choice.arm, trial.epoch).inc()


class Shielded(NamedTuple):
    """An attempt that failed and in whose place the stable version answers."""

    attempt: Attempt
    error: Failure


class Exchange:
    """One request. Each step of the plane fills in what it found out.

    `started` is in seconds of the performance counter, `at` since the epoch. `attempt` is that of the version in hand; `due`
    is when the caller's patience ends, 0 until somebody has to wait. `packed` is the body's Content-Encoding until it is
    undone. `draw` is this request's own unit of assignment; with `headers` and `claims` it is what routing asks of a request.
    """

    __slots__ = (
        "at",
        "attempt",
        "draw",
        "due",
        "head",
        "headers",
        "packed",
        "principal",
        "request_id",
        "shielded",
        "started",
        "target",
    )

    def __init__(self, head: Head) -> None:
        self.head = head
        self.headers = head.headers
        self.started = time.perf_counter()
        self.at = time.time()
        self.request_id = ""
        self.packed: str | None = None
        self.draw = 0
        self.target: Target | None = None
        self.principal: Principal | None = None
        self.attempt: Attempt | None = None
        self.due = 0.0
        self.shielded: Shielded | None = None

    @property
    def claims(self) -> Mapping[str, Any]:
        """What the caller's token says."""
        return self.principal.claims if self.principal is not None else {}
