"""`make bench`: measure this gateway, the floor and the neighbours on this machine, in turns, and write the results page.

    python tests/benchmarks/bench                      everything, about 25 minutes
    python tests/benchmarks/bench --quick              a trial run of a few minutes, into .bench/quick
    python tests/benchmarks/bench --only mlp --merge   one part, put into the readings of the same commit
    python tests/benchmarks/bench --report             the page anew from the readings at hand

Parts: linear forest mlp overload workers growth restart demo. Servers: see
the page. Ctrl-C or SIGTERM ends it, with all that it started; parts that are through are kept.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from rig import ROOT, console

from .closed_loop import wrk_missing
from .document import SECTIONS, Document, add, from_json, merge, to_json
from .machine import PRODUCT, Ticks, commit_of, this_machine, this_run
from .open_loop import compiler_missing
from .options import FULL, QUICK, choose
from .page import page
from .plot import draw

DOCS = ROOT / "docs"
TRIAL = ROOT / ".bench" / "quick"
STEM = "benchmarks"


def main() -> int:
    """Measure, or only write; gives the exit code."""
    options = _options()
    folder = options.output or (TRIAL if options.quick else DOCS)
    if options.report:
        return _report(folder)
    lacking = wrk_missing() or compiler_missing()
    if lacking:
        console.print(lacking)
        return 2
    from .measuring import known_servers, measure  # needs what only this project's own environment has

    effort = QUICK if options.quick else FULL
    effort = replace(effort, rounds=options.rounds or effort.rounds, seconds=options.seconds or effort.seconds)
    run = this_run(quick=options.quick, rounds=effort.rounds, seconds=effort.seconds)
    new = Document(this_machine(), commit_of(PRODUCT), runs=(run,))
    try:
        choice = choose(options.only, known_servers())
        old = _read(folder) if options.merge else None
        if old is not None:
            merge(old, new)  # now, and not when all is measured: it may be of another commit
    except ValueError as error:
        console.print(str(error))
        return 2
    began = Ticks.now()
    end_what_was_started()
    with tempfile.TemporaryDirectory(prefix="stagedoor-bench-") as logs:
        for servers, rows in measure(choice, effort, Path(logs)):
            run = replace(run, stolen=Ticks.now().stolen_since(began))
            new = add(replace(new, servers={**new.servers, **servers}, runs=(run,)), *rows)
            _write(merge(old, new) if old else new, folder)
    if not any(getattr(new, section) for section in SECTIONS):
        console.print("Nothing was measured: none of these servers takes part in these parts.")
        return 2
    console.print(f"Written: {folder / STEM}.json, .md and .svg")
    return 0


def end_what_was_started() -> None:
    """Have SIGTERM end this process as Ctrl-C does, by way of whatever it has to clean up."""

    def end(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="rounds, in each of which every server has a stint at every level")
    parser.add_argument("--seconds", type=int, help="of each stint in the closed loop")
    parser.add_argument("--only", type=_words, default=(), help="parts and servers, with commas between")
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--merge", action="store_true", help="keep the readings at hand of what is not measured now")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from the readings at hand")
    parser.add_argument("--output", type=Path, help="folder for the readings, the page and the plot")
    return parser.parse_args()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _read(folder: Path) -> Document | None:
    file = folder / f"{STEM}.json"
    return from_json(file.read_text()) if file.exists() else None


def _report(folder: Path) -> int:
    document = _read(folder)
    if document is None:
        console.print(f"There are no readings in {folder}. Measure first: make bench")
        return 2
    _write(document, folder)
    return 0


def _write(document: Document, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{STEM}.json").write_text(to_json(document))
    # From what was written, not from what is in memory: the page has to follow from the file alone.
    kept = from_json(to_json(document))
    (folder / f"{STEM}.md").write_text(page(kept))
    draw(kept, folder / f"{STEM}.svg")


if __name__ == "__main__":
    sys.exit(main())
