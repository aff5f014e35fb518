"""Answers from the board, the ledger and the gateways' counters."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from registry_hooks.desk.ports import Board, Books, Entry, EvidenceSource, Json, Ledger
from registry_hooks.experiment import report
from stagedoor import names
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.route_tag import read_route
from stagedoor.domain.traffic import Route
from stagedoor.errors import Conflict, EvidenceUnavailable, InvalidTag, ModelNotFound, RegistryNotFound

MAX_ENTRIES: Final = 1000
"""Most entries of the ledger that one question looks through."""


class Reading:
    """Questions about models. Safe to call from several threads at once."""

    def __init__(
        self,
        registry: Books,
        ledger: Ledger,
        board: Board,
        source: EvidenceSource | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._board = board
        self._source = source
        self._clock = clock

    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """What the controller last said, by model."""
        return self._board.read()

    def model(self, name: str) -> Json:
        """One model; one that the controller has not seen yet is `idle`. Raises ModelNotFound and RegistryError."""
        shown = self._board.read().get(name)
        if shown is not None:
            return dict(shown)
        self._registered(name)
        return {"model": name, "stable": None, "phase": "idle", "candidate": None, "last": None, "problems": [], "gates": []}

    def history(self, name: str, *, at: float | None = None, limit: int = 100) -> Json:
        """What was decided, newest first, up to the moment `at`; `live` is the version that was live then.

        Raises ModelNotFound and LedgerUnavailable.
        """
        entries = self._ledger.history(name, until=at, limit=MAX_ENTRIES)
        if not entries:
            self.model(name)
        return {"model": name, "at": at, "live": _life(entries), "entries": [entry_json(entry) for entry in entries[:limit]]}

    def route(self, name: str, epoch: int) -> Json:
        """The route of one epoch, with what decided it. Raises ModelNotFound and Conflict where nothing is left of it."""
        model = self._registered(name)
        current = current_route(model)
        if current is not None and current.epoch == epoch:
            return route_json(name, current)
        entry = self._ledger.of_epoch(name, epoch)
        route = _route_of(entry) if entry is not None else None
        if entry is None or route is None or route.epoch != epoch:
            raise Conflict("Neither the registry nor the ledger holds a route of this model with this epoch.")
        return route_json(name, route) | {"decided": entry_json(entry)}

    def experiment(self, name: str) -> Json:
        """How the arms of the split do. Raises ModelNotFound, Conflict without a split, and EvidenceUnavailable."""
        route = current_route(self._registered(name))
        if route is None or len(route.arms) < 2:  # noqa: PLR2004  a comparison needs two
            raise Conflict(
                "This model's traffic is not split. Give it a policy: `stagedoor traffic MODEL champion=90,challenger=10`."
            )
        if self._source is None:
            raise EvidenceUnavailable("This controller watches no gateway. Set STAGEDOOR_GATEWAYS.")
        evidence = self._source.read([name], self._clock()).get(name, {}).get(route.epoch)
        found: Json = report(name, route, evidence)
        return found

    def verify(self) -> Json:
        """Walk along the ledger's chain. Raises LedgerUnavailable."""
        found = self._ledger.verify()
        return {"sound": found.sound, "rows": found.rows, "first_bad": found.first_bad, "why": found.why, "head": found.head}

    def _registered(self, name: str) -> RegisteredModel:
        try:
            return self._registry.model(name)
        except RegistryNotFound as error:
            raise ModelNotFound(name) from error

    def _lives(self, name: str) -> Iterator[str]:
        """The versions that were live, newest first, each once."""
        seen: set[str] = set()
        for entry in self._ledger.history(name, limit=MAX_ENTRIES):
            version = _live(entry)
            if version is not None and version not in seen:
                seen.add(version)
                yield version


def current_route(model: RegisteredModel) -> Route | None:
    """The route in force, as the tag says it; None where there is none that can be read."""
    text = model.tags.get(names.TAG_ROUTE)
    try:
        return read_route(text) if text is not None else None
    except InvalidTag:
        return None


def entry_json(entry: Entry) -> Json:
    """One row of the ledger for people; of the controller's state only what was live and the epoch."""
    return {
        "seq": entry.seq,
        "at": entry.at,
        "model": entry.model,
        "kind": entry.kind,
        "who": entry.who,
        "from_version": entry.from_version,
        "to_version": entry.to_version,
        "live": _live(entry),
        "epoch": entry.epoch,
        "reason": entry.reason,
        "evidence": dict(entry.evidence),
        "generation": entry.generation,
        "hash": entry.hash,
    }


def route_json(name: str, route: Route) -> Json:
    """A route with everything that tells why a unit fell where it did."""
    rolling, drill = route.rolling, route.drill
    return {
        "model": name,
        "epoch": route.epoch,
        "arms": [{"name": arm.name, "version": arm.version, "weight": arm.weight} for arm in route.arms],
        "salt": route.salt.hex(),
        "sticky": str(route.sticky) if route.sticky else None,
        "reason": route.reason,
        "by": route.by,
        "aliases": dict(route.aliases),
        "watched": route.watched,
        "slow_seconds": route.slow_seconds,
        "warm": list(route.warm),
        "shield": route.shield,
        "mirror": route.mirror,
        "rolling": {"version": rolling.version, "nodes": list(rolling.nodes)} if rolling else None,
        "drill": {"fault": drill.fault, "rate": drill.rate, "until": drill.until} if drill else None,
        "decided": None,
    }


def _life(entries: Sequence[Entry]) -> Json | None:
    """The version that the newest entry leaves live, and the entry that made it so (the oldest known, if that is older)."""
    if not entries:
        return None
    version = _live(entries[0])
    began = list(takewhile(lambda entry: _live(entry) == version, entries))[-1]
    return {"version": version, "since": began.at, "seq": began.seq, "who": began.who}


def _live(entry: Entry) -> str | None:
    version = entry.state.get("stable")
    return version if isinstance(version, str) else None


def _route_of(entry: Entry) -> Route | None:
    text = entry.state.get("route")
    try:
        return read_route(text) if isinstance(text, str) else None
    except InvalidTag:
        return None
