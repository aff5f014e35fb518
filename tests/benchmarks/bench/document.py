"""All readings of one or several runs, as they lie in a JSON file. Nothing here measures, and nothing here judges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from . import names

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured on. `versions` are those of what serves and of what drives."""

    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One start of the harness. `changed` says that the product's code was not as committed; `load` is the load average.

    `stolen` is the share of the cores' time that other machines of the same host had while it ran; 0 where nobody says so.
    """

    date: str
    quick: bool
    rounds: int
    seconds: float
    load: float
    changed: bool
    harness: str
    """The commit of the harness itself."""
    stolen: float = 0.0


@dataclass(frozen=True, slots=True)
class Server:
    """One column of the comparison."""

    version: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """One closed-loop run: requests a second, latencies and CPU of the server's process tree for one request (us)."""

    run: int
    server: str
    workload: str
    connections: int
    round: int
    rate: float
    p50_us: float
    p99_us: float
    p999_us: float
    cpu_us: float
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class Open:
    """One open-loop run at a share of `capacity`; latencies (us) count from the intended send time.

    `late_us` and `late_p999_us` say how late the driver itself sent (p99, p99.9; the latter is 0 where it was not read, and
    both are of what had a free connection); `share` is the wanted part of the capacity.
    """

    run: int
    server: str
    workload: str
    round: int
    share: float
    capacity: float
    wanted: float
    sent: float
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    late_us: float
    done: int
    failed: int
    late_p999_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Overload:
    """More than a server can do, open loop. Rates a second, latencies in us from the intended send time, memory in MB (PSS).

    `light_p99_us` was read at a tenth of the capacity just before; `shed` are 503s with Retry-After, `other` everything that
    is neither that nor 200, `unanswered` what had no answer when the run was over. `ok_later_p99_us` is of accepted ones due
    after the first second. `light_connections` is how many there were before, `connections` the most there might be during it.
    All three are 0 where they were not read.
    """

    run: int
    server: str
    workload: str
    capacity: float
    wanted: float
    sent: float
    seconds: float
    light_p50_us: float
    light_p99_us: float
    ok: float
    ok_p50_us: float
    ok_p99_us: float
    shed: float
    shed_p50_us: float
    shed_p99_us: float
    other: int
    unanswered: int
    late_us: float
    before_mb: float
    during_mb: float
    after_mb: float
    recovery_ms: float
    ok_later_p99_us: float = 0.0
    connections: int = 0
    light_connections: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Proportional set size of a server's process tree after load."""

    run: int
    server: str
    workload: str
    pss_mb: float
    processes: int


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from a process's start to its first right answer."""

    run: int
    server: str
    workload: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Inside:
    """Least microseconds of one call in one process, among interleaved repeats. `what` is `request`, `routing` or `model`.

    Where `what` is `instructions` (of the request itself) or `instructions of metrics and log`, both are numbers of
    instructions for one request, of repeats as well.
    """

    run: int
    scenario: str
    what: str
    least_us: float
    median_us: float


@dataclass(frozen=True, slots=True)
class Missing:
    """What was not measured, and why."""

    run: int
    server: str
    workload: str
    why: str


Row = Closed | Open | Overload | Memory | Start | Inside | Missing


@dataclass(frozen=True, slots=True)
class Document:
    """Everything that is known of one commit of the product's code on one machine."""

    machine: Machine
    commit: str
    runs: tuple[Run, ...] = ()
    servers: Mapping[str, Server] = field(default_factory=dict)
    closed: tuple[Closed, ...] = ()
    open: tuple[Open, ...] = ()
    overload: tuple[Overload, ...] = ()
    memory: tuple[Memory, ...] = ()
    start: tuple[Start, ...] = ()
    inside: tuple[Inside, ...] = ()
    missing: tuple[Missing, ...] = ()


SECTIONS: Mapping[str, type[Row]] = {
    "closed": Closed,
    "open": Open,
    "overload": Overload,
    "memory": Memory,
    "start": Start,
    "inside": Inside,
    "missing": Missing,
}


def add(document: Document, *rows: Row) -> Document:
    """The document with more readings."""
    for name, kind in SECTIONS.items():
        more = tuple(row for row in rows if isinstance(row, kind))
        if more:
            changed: dict[str, Any] = {name: (*getattr(document, name), *more)}
            document = replace(document, **changed)
    return document


def merge(old: Document, new: Document) -> Document:
    """Both, where `new` takes the place of what `old` has on the same things. Raises ValueError unless they can be one."""
    if old.commit != new.commit:
        raise ValueError(f"the readings at hand are of commit {old.commit}, the new ones of {new.commit}")
    if (old.machine.cpu, old.machine.cores) != (new.machine.cpu, new.machine.cores):
        raise ValueError("the readings at hand are of another machine")
    shift = len(old.runs)
    versions = {**old.machine.versions, **new.machine.versions}
    merged: dict[str, Any] = {
        "machine": replace(new.machine, versions=versions),
        "runs": (*old.runs, *new.runs),
        "servers": {**old.servers, **new.servers},
    }
    measured = {_about(row) for name in SECTIONS for row in getattr(new, name)}
    for name in SECTIONS:
        known = {_key(row) for row in getattr(new, name)}
        kept = [
            row
            for row in getattr(old, name)
            if _key(row) not in known and not (isinstance(row, Missing) and _about(row) in measured)
        ]
        merged[name] = (*kept, *(replace(row, run=row.run + shift) for row in getattr(new, name)))
    return replace(new, **merged)


def _key(row: Row) -> tuple[Any, ...]:
    """What a reading is of: readings with one key are repeats."""
    names = {"server", "workload", "connections", "share", "scenario", "what"}
    return tuple(getattr(row, one.name) for one in fields(row) if one.name in names)


def _about(row: Row) -> tuple[str, str]:
    """As what it is told if it is missing: server and workload or part."""
    if isinstance(row, Overload):
        return (row.server, names.overload_of(row.workload))
    if isinstance(row, Inside):
        return (names.OURS, names.INSTRUCTIONS if row.what in {names.INSTRUCTIONS, names.RECORDING} else names.GROWTH)
    return (row.server, row.workload)


def to_json(document: Document) -> str:
    """One line for each reading, so that a new run shows as changed lines."""
    data = asdict(document)
    lines = [
        f'"format": {FORMAT}',
        *(f"{json.dumps(name)}: {json.dumps(data[name])}" for name in ("machine", "commit", "servers")),
    ]
    for name in ("runs", *SECTIONS):
        rows = ",\n".join(f"  {json.dumps(_short(row))}" for row in data[name])
        lines.append(f"{json.dumps(name)}: [\n{rows}\n ]" if rows else f"{json.dumps(name)}: []")
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """Fractions with as many figures as mean anything."""
    return {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in row.items()}


def from_json(text: str) -> Document:
    """Read what `to_json` wrote. Raises ValueError for anything else."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise ValueError("this is no file of benchmark readings of this format; measure anew with `make bench`")
    try:
        data["machine"] = Machine(**data["machine"])
        data["runs"] = tuple(Run(**run) for run in data["runs"])
        data["servers"] = {name: Server(**server) for name, server in data["servers"].items()}
        for name, kind in SECTIONS.items():
            data[name] = tuple(kind(**row) for row in data[name])
        return Document(**data)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("the readings have other fields than this version's; measure anew with `make bench`") from error
