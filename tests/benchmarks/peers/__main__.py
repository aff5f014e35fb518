"""Install the neighbours, each into a virtual environment of its own below .bench; what is there already is left alone.

    python tests/benchmarks/peers [NAME...] [--only NAME,NAME]

One that cannot be installed is reported, and does not stop the others; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# Python puts this folder itself in front, where files are called after the packages they start.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console  # noqa: E402  needs the path above
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: E402
from rich.table import Table  # noqa: E402  the same

from peers.contract import Peer  # noqa: E402  the same
from peers.every import PEERS  # noqa: E402  the same

_LINES_TOLD = 6
console = Console()


def main() -> int:
    """Install what was asked for; gives the exit code."""
    peers = _asked(sys.argv[1:])
    failures: dict[str, str] = {}
    table = Table("neighbour", "version", "seconds", "state")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(peers))
        for peer in peers:
            progress.update(task, description=f"installing {peer.name}")
            seconds, failure = _installed(peer)
            if failure is not None:
                failures[peer.name] = failure
            table.add_row(peer.name, peer.version(), f"{seconds:.0f}", "failed" if failure else "ready")
            progress.advance(task)
    console.print(table)
    for name, failure in failures.items():
        console.print(f"[bold]{name}[/bold] cannot be measured: it could not be installed.", highlight=False)
        console.print(failure, markup=False, highlight=False)
    return 1 if failures else 0


def _asked(arguments: Sequence[str]) -> tuple[Peer, ...]:
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}; all without")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="the same as a list")
    options = parser.parse_args(arguments)
    wanted = {*options.names, *filter(None, options.only.split(","))}
    unknown = wanted - set(names)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return tuple(peer for peer in PEERS if not wanted or peer.name in wanted)


def _installed(peer: Peer) -> tuple[float, str | None]:
    """Seconds it took, and why it failed."""
    begun = time.monotonic()
    try:
        peer.install()
    except subprocess.CalledProcessError as error:
        failure: str | None = "\n".join(str(error.stderr).strip().splitlines()[-_LINES_TOLD:])
    except (OSError, subprocess.SubprocessError) as error:
        failure = str(error)
    else:
        failure = None
    return time.monotonic() - begun, failure


if __name__ == "__main__":
    sys.exit(main())
