"""Rollouts on the running system under open-loop load: harmful versions come back, good ones get through, and how soon.

    python tests/benchmarks/rollouts.py [--harmful 10] [--returns 20] [--switches 5] [--shipped] [--json FILE]

Half of the requests carry a negative number; a harmful version has no answer to those, which its gates cannot know.
`--shipped` adds a promotion under the rules and steps as they come (about four minutes).
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asking import Asker, load_on, serves, settings_of
from rig import OpenLoop, Shot, print_table, system, wait_for
from small_versions import GOOD, HARMFUL, Files

MODEL = "roots"
PER_SECOND = 50
HARMED = "canary steps=10,50"
GUARDED = "canary steps=1,5,25,50,100 interval=5s outcomes=10 delta=5 delta_latency=5 max_latency=1s"
SHIPPED = "canary"
SWITCHED = "blue-green bake=60s"
TARGET_SECONDS = 15.0
PATIENCE_SECONDS = 180.0
Found = dict[str, Any]


@contextmanager
def loaded(load: OpenLoop, seconds: float) -> Iterator[OpenLoop]:
    """Requests for as long as the block runs, at most `seconds`."""
    sender = threading.Thread(target=lambda: asyncio.run(load.run(seconds)), name="load")
    sender.start()
    try:
        yield load
    finally:
        load.stopping = True
        sender.join(60)


def first(load: OpenLoop, start: int, matches: Callable[[Shot], bool]) -> Shot:
    """The first request sent since number `start` of which this holds."""
    return wait_for(lambda: next((s for s in load.shots[start:] if s.done and matches(s)), None), PATIENCE_SECONDS, "a request")


def assigned_to(version: str) -> Callable[[Shot], bool]:
    """Requests that this version answered, or failed before another one answered them."""
    return lambda shot: version in {shot.version, shot.shielded}


def until(check: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> float:
    """The moment from which on it holds (monotonic)."""
    wait_for(check, seconds, what, pause=0.005)
    return time.monotonic()


def newly_asked(asker: Asker, files: Files, strategy: str) -> tuple[str, float]:
    """Register a version and move the alias to it; gives the version and the moment of the move."""
    version = asker.register(MODEL, files)
    asker.tag(MODEL, "stagedoor.rollout", strategy)
    asker.point(MODEL, version)
    return version, time.monotonic()


def roll_back(asker: Asker, load: OpenLoop, live: str) -> Found:
    """One harmful version: seconds from its first request until it gets none, and until the alias is back."""
    start = len(load.shots)
    version, moved = newly_asked(asker, HARMFUL, HARMED)
    begun = first(load, start, assigned_to(version)).due
    out = until(lambda: serves(asker.system, MODEL, live), f"{version} is out of traffic")
    back = until(lambda: asker.champion(MODEL) == live, "the alias is back")
    time.sleep(1)
    shots = [shot for shot in load.shots[start:] if shot.done]
    return {
        "moved_to_first": begun - moved,
        "first_to_out": out - begun,
        "first_to_alias_back": back - begun,
        "assigned": sum(assigned_to(version)(shot) for shot in shots),
        "shielded": sum(shot.shielded == version for shot in shots),
        "requests": len(shots),
        "errors": sum(shot.status != 200 for shot in shots),
    }


def promote(asker: Asker, load: OpenLoop, strategy: str, seconds: float) -> Found:
    """One good version: seconds from the move to each decision, to its first request, and until it serves alone."""
    start = len(load.shots)
    asked_at = time.time()
    version, moved = newly_asked(asker, GOOD, strategy)
    begun = first(load, start, assigned_to(version)).due
    alone = until(lambda: serves(asker.system, MODEL, version), f"{version} is live everywhere", seconds)
    entries = [entry for entry in asker.history(MODEL) if entry["at"] >= asked_at]
    shots = [shot for shot in load.shots[start:] if shot.done]
    return {
        "strategy": strategy,
        "version": version,
        "moved_to_first": begun - moved,
        "moved_to_alone": alone - moved,
        "decisions": [[entry["kind"], entry["at"] - entries[0]["at"], entry["reason"]] for entry in entries],
        "requests": len(shots),
        "errors": sum(shot.status != 200 for shot in shots),
    }


def return_times(asker: Asker, one: str, other: str, count: int) -> list[float]:
    """Seconds from the alias move between two versions that were live lately, until all workers serve the named one."""
    found = []
    for number in range(count):
        version = (one, other)[number % 2]
        asker.point(MODEL, version)
        moved = time.monotonic()
        found.append(until(lambda version=version: serves(asker.system, MODEL, version), f"{version} is live again") - moved)
        time.sleep(0.5 + 0.137 * (number % 7))  # moves fall anywhere between two polls
    return found


def switch_and_return(asker: Asker, live: str) -> Found:
    """One blue-green switch, taken back while it is watched: seconds until it served everywhere, and until it did no more."""
    version, moved = newly_asked(asker, GOOD, SWITCHED)
    switched = until(lambda: serves(asker.system, MODEL, version), f"{version} has taken over")
    time.sleep(2)
    asker.point(MODEL, live)
    asked = time.monotonic()
    back = until(lambda: serves(asker.system, MODEL, live), f"{live} is back")
    time.sleep(1)
    return {"moved_to_switched": switched - moved, "return": back - asked}


def row(what: str, values: list[float], target: str = "") -> tuple[str, int, str, str, str, str]:
    """Count, least, median and greatest."""
    return what, len(values), *(f"{f(values):.2f}" for f in (min, statistics.median, max)), target


def show(found: Found) -> None:
    """The tables."""
    harmful, good = found["harmful"], found["good"]
    outs = [one["first_to_out"] for one in harmful]
    met = "met" if max(outs) <= TARGET_SECONDS else "MISSED"
    print_table(
        f"Seconds, {PER_SECOND} requests/s in open loop",
        ["what", "times", "min", "median", "max", "target"],
        [
            row("harmful at 10 %: first request until out of traffic", outs, f"{TARGET_SECONDS:g} {met}"),
            row("harmful at 10 %: first request until alias back", [one["first_to_alias_back"] for one in harmful]),
            row("alias move until first request, gates included", [one["moved_to_first"] for one in (*harmful, *good)]),
            row("return within the window: alias move until all workers", found["returns"]),
            row(
                "blue-green: alias move until all workers, gates included", [s["moved_to_switched"] for s in found["switches"]]
            ),
            row("blue-green: alias moved back until all workers", [s["return"] for s in found["switches"]]),
        ],
    )
    print_table(
        "What callers of harmful versions saw",
        ["versions", "requests", "assigned to it", "answered by the live one instead", "errors"],
        [(len(harmful), *(sum(one[key] for one in harmful) for key in ("requests", "assigned", "shielded", "errors")))],
    )
    for one in good:
        print_table(
            f"A good version, `{one['strategy']}`: {one['requests']} requests, {one['errors']} errors",
            ["decision", "seconds after the first decision", "reason"],
            [(kind, f"{at:.1f}", reason) for kind, at, reason in one["decisions"]],
        )
    print(f"{found['all_requests']} requests in all, {found['all_errors']} errors (target 0) {dict(found['errors_by_kind'])}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--harmful", type=int, default=10)
    parser.add_argument("--returns", type=int, default=20)
    parser.add_argument("--switches", type=int, default=5)
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with system(controlled=True, demo=False) as running:
        settings = settings_of(running.state)
        asker = Asker(running, settings)
        asker.make_live(MODEL, GOOD, HARMED)
        with loaded(load_on(running, settings, (MODEL,), PER_SECOND), 3600) as load:
            time.sleep(2)
            found: Found = {"harmful": [roll_back(asker, load, "1") for _ in range(options.harmful)]}
            found["good"] = [promote(asker, load, GUARDED, PATIENCE_SECONDS)]
            found["returns"] = return_times(asker, "1", found["good"][0]["version"], options.returns // 2 * 2)
            live = found["good"][0]["version"]
            found["switches"] = [switch_and_return(asker, live) for _ in range(options.switches)]
            if options.shipped:
                found["good"].append(promote(asker, load, SHIPPED, 900))
            time.sleep(1)
        found["all_requests"] = len(load.shots)
        failed = [shot for shot in load.shots if shot.status != 200]
        found["all_errors"] = len(failed)
        found["errors_by_kind"] = collections.Counter(shot.failure or str(shot.status) for shot in failed)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
