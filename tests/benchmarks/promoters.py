"""Four controllers over one ledger and four promoters over the same models, while controllers are killed at random.

    python tests/benchmarks/promoters.py [--seconds 180] [--seed 1] [--json FILE]

The ledger is on PostgreSQL where it is installed, and the lease a lock of it; each controller has a folder of its own, as on
machines of their own. Two promoters move aliases in MLflow, two ask the REST of any controller. An accepted move is in the
ledger once as `started` or `returned`; not at all only if another move followed before any controller looked.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import requests
from asking import Asker, load_on, serves
from audit import EpochWatch, audit, audit_table, rows_of
from controllers import VICTIMS, Plant, plant, under_way
from rig import ROOT, print_table, wait_for
from rollouts import loaded
from small_versions import GOOD

sys.path.insert(0, str(ROOT / "tests"))
from postgres import cluster

CONTROLLERS = 4
PROMOTERS = 4
AT_ONCE, BY_CANARY = ("at-once-a", "at-once-b"), ("canary-a", "canary-b")
MODELS = (*AT_ONCE, *BY_CANARY)
CANARY = "canary steps=50 interval=1s outcomes=10 min_outcomes=10 delta=5 delta_latency=5 max_latency=5s"
PER_SECOND = 100
PAUSE_SECONDS = (0.2, 12.0)
"""Between two moves of a promoter: some follow before a controller looks, some after a promotion is through."""
KILL_SECONDS = (2.0, 6.0)
RETURNING = 0.25
"""How often a promoter names an older version instead of a new one."""
SETTLE_SECONDS = 240.0
BEGINS = frozenset({"started", "returned"})


@dataclass(frozen=True)
class Move:
    """An alias move that somebody asked for. `accepted` is None where no answer came."""

    at: float
    who: str
    model: str
    version: str
    accepted: bool | None


@dataclass
class Promoter:
    """Moves aliases until told to stop: by REST of any controller, or in MLflow."""

    running: Plant
    number: int
    chance: random.Random
    versions: dict[str, list[str]]
    moves: list[Move] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its subject."""
        return f"promoter-{self.number}"

    def run(self, stop: threading.Event) -> None:
        """Until then."""
        asker = Asker(self.running.system, self.running.settings, self.name)
        while not stop.wait(self.chance.uniform(*PAUSE_SECONDS)):
            model = self.chance.choice(MODELS)
            try:
                self._move(asker, model)
            except requests.RequestException as error:
                self.failed.append(type(error).__name__)

    def _move(self, asker: Asker, model: str) -> None:
        if self.chance.random() < RETURNING:
            version = self.chance.choice(self.versions[model])
        else:
            version = asker.register(model, GOOD)
            self.versions[model].append(version)
        at = time.time()
        accepted: bool | None = True
        if self.number % 2:
            status = asker.promote(self.chance.choice(self.running.controllers.urls), model, version)
            accepted = {202: True, 0: None}.get(status, None if status >= requests.codes.server_error else False)
        else:
            asker.point(model, version)
        self.moves.append(Move(at, self.name, model, version, accepted))


@dataclass
class Killer:
    """Kills a random controller every few seconds."""

    running: Plant
    chance: random.Random
    done: int = 0

    def run(self, stop: threading.Event) -> None:
        """Until then."""
        while not stop.wait(self.chance.uniform(*KILL_SECONDS)):
            number, victim = self.chance.randrange(CONTROLLERS), self.chance.choice(VICTIMS)
            self.done += bool(self.running.controllers.kill(number, victim))


@dataclass(frozen=True)
class Books:
    """Moves beside the ledger. `lost`, `double`, `unasked` and `misattributed` are to be zero."""

    asked: int
    accepted: int
    refused: int
    unanswered: int
    written: int
    overtaken: int
    longest_overtaken: float
    lost: int
    double: int
    unasked: int
    misattributed: int


def compare(moves: list[Move], rows: list[dict[str, Any]]) -> Books:
    """Hold the ledger against what was asked. Versions that were asked for once tell which entry belongs to which move."""
    begun = collections.Counter((row["model"], row["to_version"]) for row in rows if row["kind"] in BEGINS)
    authors = {(row["model"], row["to_version"], row["who"]) for row in rows if row["kind"] in BEGINS}
    may_be = [move for move in moves if move.accepted is not False]
    asked = collections.Counter((move.model, move.version) for move in may_be)
    asked.update((model, "1") for model in MODELS)  # each began with version 1
    accepted = [move for move in moves if move.accepted]
    once = [move for move in accepted if asked[move.model, move.version] == 1]
    unwritten = [move for move in once if not begun[move.model, move.version]]
    stood = {move: _stood(move, may_be) for move in unwritten}
    by = {(move.model, move.version, move.who) for move in may_be}
    return Books(
        asked=len(moves),
        accepted=len(accepted),
        refused=sum(move.accepted is False for move in moves),
        unanswered=sum(move.accepted is None for move in moves),
        written=sum(begun.values()),
        overtaken=sum(seconds is not None for seconds in stood.values()),
        longest_overtaken=max((seconds for seconds in stood.values() if seconds is not None), default=0.0),
        lost=sum(seconds is None for seconds in stood.values()),
        double=sum(max(0, count - asked[key]) for key, count in begun.items()),
        unasked=sum(not asked[key] for key in begun),
        misattributed=sum((m, v, who) not in by for m, v, who in authors if v != "1"),
    )


def _stood(move: Move, moves: list[Move]) -> float | None:
    """Seconds until another move of the same alias; None if there was none."""
    later = [other.at - move.at for other in moves if other.model == move.model and other.at > move.at]
    return min(later, default=None)


def at_rest(running: Plant, asker: Asker) -> bool:
    """Whether nothing is under way, and alias, ledger and all workers agree on each model."""
    states = running.states()
    return all(
        not under_way(states[name])
        and asker.champion(name) == states[name]["stable"]
        and serves(running.system, name, states[name]["stable"])
        for name in MODELS
    )


def disturbed(running: Plant, seconds: float, chance: random.Random) -> tuple[list[Promoter], Killer]:
    """Everybody at once, for so many seconds."""
    versions = {name: ["1"] for name in MODELS}
    promoters = [Promoter(running, n, random.Random(chance.random()), versions) for n in range(PROMOTERS)]  # noqa: S311
    killer = Killer(running, random.Random(chance.random()))  # noqa: S311  no secret
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in (*promoters, killer)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join(120)
    return promoters, killer


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311  no secret
    with cluster() as server, plant(CONTROLLERS, server.database() if server else None) as running:
        asker = Asker(running.system, running.settings)
        for name in MODELS:
            asker.make_live(name, GOOD, "immediate" if name in AT_ONCE else CANARY)
        load = load_on(running.system, running.settings, MODELS, PER_SECOND)
        watch = EpochWatch(running.system)
        with loaded(load, 3600), watch.watching():
            promoters, killer = disturbed(running, options.seconds, chance)
            wait_for(lambda: at_rest(running, asker), SETTLE_SECONDS, "the end of the last rollouts", pause=0.5)
        found, rows = audit(running.ledger), rows_of(running.ledger)
    moves = sorted((move for one in promoters for move in one.moves), key=lambda move: move.at)
    books = compare(moves, rows)
    kinds = collections.Counter(row["kind"] for row in rows)
    errors = collections.Counter(shot.failure or str(shot.status) for shot in load.shots if shot.status != 200)
    where = "PostgreSQL" if server else "SQLite"
    print_table(
        f"{CONTROLLERS} controllers on {where}, {killer.done} SIGKILLs, {PROMOTERS} promoters, {options.seconds:g} s",
        [name.replace("_", " ") for name in asdict(books)],
        [tuple(f"{value:.2f}" if isinstance(value, float) else value for value in asdict(books).values())],
    )
    print_table("Ledger and epochs (all but rows, generations, epochs and reports: target 0)", *audit_table(found, watch))
    print(f"Decisions: {dict(kinds)}. {len(load.shots)} requests, {errors.total()} errors (target 0) {dict(errors)}.")
    by = {(move.model, move.version, move.who) for move in moves if move.accepted is not False}
    for row in rows:
        if row["kind"] in BEGINS and row["to_version"] != "1" and (row["model"], row["to_version"], row["who"]) not in by:
            print("under a wrong name:", row["seq"], row["model"], row["to_version"], row["who"], row["reason"])
    print(f"Registrations or moves that MLflow did not take: {sum(len(one.failed) for one in promoters)}.")
    if options.json:
        told = {"kills": killer.done, "books": asdict(books), "audit": asdict(found), "errors": errors, "kinds": kinds}
        options.json.write_text(json.dumps({**told, "requests": len(load.shots), "back": watch.back}, indent=2))


if __name__ == "__main__":
    main()
