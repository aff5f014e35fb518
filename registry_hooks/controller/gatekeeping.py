"""Running the gates beside the loop: one look at each version at a time, with pauses between two looks at the same."""

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Final, Protocol

from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.rollout.findings import Finding, worst
from stagedoor.telemetry import get_logger

PAUSES: Final[Mapping[str, tuple[float, ...]]] = {"wait": (2.0,), "error": (2.0, 5.0, 15.0, 30.0, 60.0)}
"""Seconds until the gates look again: soon where a person is awaited, ever more slowly where something is broken."""

Pair = tuple[str, str | None]


class Gates(Protocol):
    """Looks at one version. Blocks, and raises nothing that is the version's fault."""

    def check(self, model: RegisteredModel, candidate: str, live: str | None, who: str) -> tuple[Finding, ...]:
        """What every gate says of `candidate`, beside the live version."""


@dataclass(slots=True)
class _Look:
    future: Future[tuple[Finding, ...]]
    times: int = 0
    again_at: float = 0.0
    found: tuple[Finding, ...] | None = None


class Gatekeeper:
    """Keeps what the gates said of each model's versions, and has them look again where that may change."""

    def __init__(self, gates: Gates, threads: Executor) -> None:
        self._gates = gates
        self._threads = threads
        self._looks: dict[tuple[str, Pair], _Look] = {}

    def findings(self, model: str) -> dict[Pair, tuple[Finding, ...]]:
        """What is known now, by candidate and live version."""
        return {pair: look.found for (name, pair), look in self._looks.items() if name == model and look.found is not None}

    def collect(self, now: float) -> None:
        """Take in what the gates have said meanwhile. Called once a turn."""
        for look in self._looks.values():
            if look.future.done() and look.again_at == 0.0:
                look.found = _result(look.future)
                pauses = PAUSES.get(worst(look.found), ())
                look.again_at = now + pauses[min(look.times, len(pauses) - 1)] if pauses else float("inf")

    def ask(self, model: RegisteredModel, pair: Pair, who: str, now: float) -> None:
        """See that the gates look at a pair, unless they have just done so."""
        look = self._looks.get((model.name, pair))
        if look is not None and (look.again_at == 0.0 or now < look.again_at):
            return
        future = self._threads.submit(self._gates.check, model, pair[0], pair[1], who)
        known = (look.found, look.times + 1) if look is not None else (None, 0)
        self._looks[model.name, pair] = _Look(future, known[1], found=known[0])

    def forget(self, model: str) -> None:
        """A new try of the same version is looked at anew."""
        self._looks = {key: look for key, look in self._looks.items() if key[0] != model}


def _result(future: Future[tuple[Finding, ...]]) -> tuple[Finding, ...]:
    """What was found. Gates that crash let nothing pass."""
    error = future.exception()
    if error is None:
        return future.result()
    get_logger().error("gates_crashed", exc_info=error)
    return (Finding("gates", "error", "they failed unexpectedly; the controller's log says how"),)
