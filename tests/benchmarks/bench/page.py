"""The results page, from the readings alone."""

from __future__ import annotations

from typing import Final

from . import names, sections
from .document import Document, Run
from .figures import connections
from .markdown import table
from .scaling import beyond_fifty
from .scenarios import PERIOD, RATE

MUCH_STOLEN: Final = 0.02
"""Share of the cores' time whose loss shows in the tails of what is measured."""

_TITLES: Final = {
    names.LINEAR: ("Small model", "A logistic regression on 30 columns as ONNX, one row a request."),
    names.FOREST: (
        "Forest",
        "100 trees on 30 named columns, registered as scikit-learn; this gateway serves what it compiled to ONNX from it.",
    ),
    names.MLP: (
        "Large model with batching",
        "784-2048-2048-10 as ONNX, one row a request; batching wherever a server has it.",
    ),
}
_HEAD: Final = """\
# Benchmarks

`make bench` measures and writes this page, its plot and `benchmarks.json`; `make bench-report` writes the page anew
from that file. `make bench-peers` installs the neighbours."""
_WORKERS: Final = """\
Small model, 16 connections, as many wrk as workers; CPU per request. What workers cost each other shows beside as many
gateways of one worker each, which share nothing but the machine and get the same load at the same time: with one worker
the driver has a core to itself, with more it shares cores and caches with them, which costs a gateway more than an echo."""
_GROWN: Final = "Each model has two arms where nothing else is said. Instructions are counted by callgrind."
_HOW: Final = f"""\
All servers of a table run on one machine and take turns within one run. Figures are the median of the repeats, with
the least and the largest. The load comes from the same machine and shares its cores. So compare figures within this
page only.

The speed of such a machine changes from second to second. So in each round all servers are driven one after another for
a second at one level, in another order each round, and then at the next level; where a target compares two of them, the
figure is the median over the rounds of the one's reading by the other's in the same round, with the least and the
largest round. It may differ a little from the quotient of the two medians that stand beside it.

- **Same work.** Every server has the same ONNX file (but for the forest) and gets the same row, in its own JSON
  protocol, and answers over HTTP on loopback. The neighbours run without authentication, split, signature check,
  metrics and request log. This gateway has all of these on: a verified token, a split over two versions (small model
  and forest), the compiled signature check, metrics, a log line for each request in a file, a request id.
- `echo` is a bare ASGI callable on the gateway's own gunicorn settings: the floor. `stagedoor-asgi` is the gateway
  under gunicorn's stock worker (`-k asgi`), `stagedoor-unbatched` the same model with the tag `stagedoor.batch=off`.
- **Closed loop**: wrk, one thread, keep-alive; each round begins with a second of warming up, and slow servers are
  driven longer, for three answers a connection or four seconds. Requests/s and CPU count good answers only; `failed`
  counts refusals, errors of the server and of sockets. What burns CPU without requests is started for its turns only.
- **CPU per request**: user and system time of the server's process tree, from `/proc`, by requests done. For this
  gateway that is gunicorn's master and the workers; the resolver and MLflow are not on a request's way.
- **Open loop**: requests are due at a fixed rate whatever the answers do, and latency counts from the moment a
  request was due. The driver is a small C program over epoll, and each request goes over the connection that has
  been idle longest; how late it was itself is in the table.
- **Memory**: proportional set size of the process tree after the load; with the demo's models, which are promoted while the
  gateway runs, at once and when it has settled. **Start**: from the start of the first process
  to the first right answer. `restart` is this gateway, with its resolver, on a state folder that has been in use.
- **Workers**: N workers are driven by N wrk at once, each with its part of the connections; so are N gateways of one
  worker each, with state folders, counters and ports of their own, in the same rounds. CPU per request is that of all their
  processes by all good answers; latencies are those of the slower wrk. Beside one worker and beside the echo more workers
  stand for information.
- **Growth**: whole `Plane.predict` calls (token, split, decode, model, encode) and their metrics and log lines in one
  process, without the protocol layer: CPU time of the thread that answers, the least of interleaved repeats for each piece
  of 16 calls, once all models (arms) have been called. Asked in turn, sessions displace each other in the processor's
  caches, which shows in the time, also of the model by itself (a run of its session and hardly anything around it), and
  not in the instructions. Metrics and lines are made as by a worker that answers {RATE:,.0f} requests a second: what has
  the same labels is added up for {PERIOD / RATE:.2f} seconds, then written once, so with more models or arms there is less
  of that to save."""


def page(document: Document) -> str:
    """The whole page, ending in a line break."""
    parts = [
        _HEAD,
        _warning(document),
        "![Requests/s and CPU per request](benchmarks.svg)",
        f"## Targets\n\n{sections.tally(document)}\n\n{sections.targets(document)}",
        _losses(document),
        *(_workload(document, workload) for workload in names.WORKLOADS),
        _section("Overload", "Three times what the server can do at 16 connections, open loop.", sections.overload(document)),
        _section("Other numbers of workers", _WORKERS, sections.workers(document), *_levels(document, names.WORKERS)),
        _memory(document),
        _section("Growth", _GROWN, sections.growth(document), beyond_fifty(document), sections.instructions(document)),
        _section("Not measured", "", sections.missing(document) if document.missing else "All was measured."),
        f"## How it was measured\n\n{_HOW}",
        _conditions(document),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _warning(document: Document) -> str:
    """What makes the figures worth less than they look."""
    reasons = []
    if any(run.quick for run in document.runs):
        reasons.append("some figures come from a short trial run (`--quick`)")
    if any(run.load > document.machine.cores / 2 for run in document.runs):
        reasons.append("the machine was busy with other work when a run began")
    stolen = max((run.stolen for run in document.runs), default=0.0)
    if stolen > MUCH_STOLEN:
        reasons.append(f"other machines of the same host had {stolen:.0%} of the cores' time while it ran")
    if any(run.changed for run in document.runs):
        reasons.append("the code had changes that were not committed")
    return f"**Read with care**: {'; '.join(reasons)}." if reasons else ""


def _losses(document: Document) -> str:
    found = sections.losses(document)
    lines = "\n".join(f"- {line}" for line in found) or "In no figure of the closed loop."
    return f"## Where a neighbour is ahead\n\n{lines}"


def _workload(document: Document, workload: str) -> str:
    title, what = _TITLES[workload]
    half = sections.open_loop(document, workload)
    heading = "Open loop at half of each server's own capacity at 16 connections:"
    return _section(title, what, *_levels(document, workload), f"{heading}\n\n{half}" if half else "")


def _levels(document: Document, workload: str) -> list[str]:
    return [f"{connections(level)}:\n\n{text}" for level, text in sections.levels(document, workload)]


def _memory(document: Document) -> str:
    titles = {
        **{workload: f"With the model `{workload}`:" for workload in names.WORKLOADS},
        names.DEMO: "With the demo's models:",
        names.RESTART: "Started anew on a state folder that has been in use (small model):",
    }
    tables = [(title, sections.memory_and_start(document, workload)) for workload, title in titles.items()]
    return _section("Memory and start", "", *(f"{title}\n\n{text}" for title, text in tables if text))


def _section(title: str, what: str, *parts: str) -> str:
    """A section, or nothing where no part has anything in it."""
    found = [part for part in parts if part]
    return "\n\n".join(part for part in (f"## {title}", what, *found) if part) if found else ""


def _conditions(document: Document) -> str:
    machine = document.machine
    facts = [
        ("processor", f"{machine.cpu}, {machine.cores} cores"),
        ("memory", f"{machine.memory_gb:.0f} GB"),
        ("kernel", machine.kernel),
        ("Python", machine.python),
        ("commit of the product's code", document.commit),
        *machine.versions.items(),
    ]
    servers = [(name, server.version, server.note) for name, server in sorted(document.servers.items())]
    runs = [_run(number, run) for number, run in enumerate(document.runs, 1)]
    return "\n\n".join(
        (
            "## Machine, versions, runs",
            table(["", ""], facts),
            table(["server", "version", ""], servers),
            table(["run", "date", "rounds", "load average before", "stolen time", ""], runs),
        )
    )


def _run(number: int, run: Run) -> tuple[str, ...]:
    remarks = [*(["quick"] if run.quick else []), *(["uncommitted changes"] if run.changed else [])]
    return (
        str(number),
        run.date,
        f"{run.rounds} of {run.seconds:g} s",
        f"{run.load:.2f}",
        f"{run.stolen:.0%}",
        ", ".join(remarks),
    )
