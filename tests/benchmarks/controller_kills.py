"""Random SIGKILLs of the controller during rollouts: every rollout ends where one ends whose controller lives.

    python tests/benchmarks/controller_kills.py [--kills 50] [--seconds 3600] [--seed 1] [--json FILE]

A good, a harmful and a refused version, each of a model of its own, are promoted again and again under load. A first round
without any kill says how each kind ends; then the controller's worker, its master process or both are killed at random moments
while something is under way, some times in each round. Each round's ends are compared with those of the first.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asking import Asker, load_on, serves
from audit import EpochWatch, audit, audit_table
from controllers import VICTIMS, Plant, plant, under_way
from rig import print_table
from rollouts import loaded
from small_versions import GOOD, HARMFUL, REFUSED

KINDS = {"good": GOOD, "harmful": HARMFUL, "refused": REFUSED}
MODELS = tuple(f"{kind}-roots" for kind in KINDS)
STRATEGY = "canary steps=10,50 interval=1s outcomes=20 delta=5 delta_latency=5 max_latency=5s min_outcomes=20"
PER_SECOND = 20
"""Requests of each model."""
AIMS = ("gating", "canary", "canary", "ending")
"""Phases at which deaths are aimed; `ending` is a rollout that is decided and whose alias is not yet back."""
AIM_SECONDS = 20.0
"""After that any phase will do."""
PAUSE_SECONDS = (0.0, 3.0)
"""At least between the moment when the controller answers again and its next death."""
LOOK_SECONDS = 0.05
DEATHS_A_ROUND = 6
"""Then the round may end: a controller that never lives long enough to look once decides nothing."""
ROUND_SECONDS = 400.0
End = tuple[str, bool, bool, bool, str]


@dataclass
class Deaths:
    """Kills the controller again and again while something is under way; counts the phases in which that fell.

    Each death is aimed at a phase of some rollout, and comes a moment after the controller answers again.
    """

    running: Plant
    wanted: int
    chance: random.Random
    done: int = 0
    left: int = 0
    phases: collections.Counter[str] = field(default_factory=collections.Counter)
    victims: collections.Counter[str] = field(default_factory=collections.Counter)

    @contextmanager
    def falling(self) -> Iterator[Deaths]:
        """For as long as the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,), name="deaths")
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join(60)

    def _run(self, stop: threading.Event) -> None:
        while self.done < self.wanted and not stop.wait(LOOK_SECONDS):
            if self.left > 0 and self.running.controllers.is_ready(0):
                self._kill_once(stop)

    def _kill_once(self, stop: threading.Event) -> None:
        aim, give_up = self.chance.choice(AIMS), time.monotonic() + AIM_SECONDS
        stop.wait(self.chance.uniform(*PAUSE_SECONDS))
        while not stop.wait(LOOK_SECONDS):
            busy = {phase for state in self.running.states().values() if (phase := under_way(state))}
            if aim in busy or (busy and time.monotonic() > give_up):
                break
        else:
            return
        stop.wait(self.chance.uniform(0, 1))
        victim = self.chance.choice(VICTIMS)
        if self.running.controllers.kill(0, victim):
            self.done += 1
            self.left -= 1
            self.victims[victim] += 1
            self.phases[aim if aim in busy else min(busy)] += 1


def end_of(asker: Asker, state: dict[str, Any], name: str, version: str) -> End | None:
    """How the trial of this version ended: its outcome, whether it is live, has the alias and serves, and its verdict tag."""
    last = state["last"]
    if under_way(state) or last is None or last["version"] != version:
        return None
    champion = asker.champion(name)
    if champion != state["stable"] or not serves(asker.system, name, state["stable"]):
        return None
    verdict = asker.tags(name, version).get("stagedoor.verdict", "").partition(":")[0]
    if not verdict:
        return None  # it is written last
    return (last["outcome"], state["stable"] == version, champion == version, serves(asker.system, name, version), verdict)


def round_of(running: Plant, asker: Asker) -> dict[str, End | None]:
    """Promote a new version of each model, and wait until all have ended; gives the ends, None for one that has not."""
    asked = {}
    for name in MODELS:
        asked[name] = asker.register(name, KINDS[name.partition("-")[0]])
    for name, version in asked.items():
        asker.point(name, version)
    ends: dict[str, End | None] = dict.fromkeys(MODELS)
    give_up = time.monotonic() + ROUND_SECONDS
    while time.monotonic() < give_up and None in ends.values():
        states = running.states()
        ends = {name: ends[name] or end_of(asker, states[name], name, version) for name, version in asked.items()}
        time.sleep(0.1)
    return ends


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3600, help="begin no round after that")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    with plant(1) as running:
        asker = Asker(running.system, running.settings)
        for name in MODELS:
            asker.make_live(name, GOOD, STRATEGY)
        load = load_on(running.system, running.settings, MODELS, PER_SECOND * len(MODELS))
        watch = EpochWatch(running.system)
        deaths = Deaths(running, options.kills, random.Random(options.seed))  # noqa: S311  no secret
        with loaded(load, 2 * options.seconds), watch.watching():
            unkilled = round_of(running, asker)
            rounds = []
            with deaths.falling():
                while deaths.done < options.kills and time.monotonic() - began < options.seconds:
                    deaths.left = DEATHS_A_ROUND
                    rounds.append(round_of(running, asker))
                    print(f"{deaths.done} kills, {len(rounds)} rounds, {time.monotonic() - began:.0f} s", flush=True)
        found = audit(running.ledger)
    other = [(n, name, end) for n, ends in enumerate(rounds) for name, end in ends.items() if end != unkilled[name]]
    rows = []
    for kind in KINDS:
        of_kind = [name for name in MODELS if name.startswith(kind)]
        ends = [one[name] for one in rounds for name in of_kind]
        rows.append((kind, str(unkilled[of_kind[0]]), len(ends), sum(name.startswith(kind) for _, name, _ in other)))
    errors = collections.Counter(shot.failure or str(shot.status) for shot in load.shots if shot.status != 200)
    print_table(
        f"{deaths.done} SIGKILLs ({dict(deaths.victims)}); phases they fell into: {dict(deaths.phases)}",
        ["version", "end without kills: outcome, live, has alias, serves alone, verdict", "under kills", "ended elsewhere"],
        rows,
    )
    print_table("Ledger and epochs (all but rows, generations, epochs and reports: target 0)", *audit_table(found, watch))
    print(f"{len(load.shots)} requests, {errors.total()} errors (target 0) {dict(errors)}. {time.monotonic() - began:.0f} s.")
    for where in other[:10]:
        print("ended elsewhere:", where)
    if options.json:
        told = {
            "kills": deaths.done,
            "rounds": rounds,
            "unkilled": unkilled,
            "audit": asdict(found),
            "errors": errors,
            "phases": deaths.phases,
        }
        options.json.write_text(json.dumps({**told, "requests": len(load.shots), "back": watch.back}, indent=2))


if __name__ == "__main__":
    main()
