"""The files by which the resolver and the gateway workers talk: snapshot, heartbeat, nudge and demands.

The snapshot and the heartbeat are replaced as a whole, so that a reader never sees half of one.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import orjson

from stagedoor.domain.route_tag import read_route, write_route
from stagedoor.domain.snapshot import ModelEntry, Snapshot, State, VersionEntry
from stagedoor.domain.traffic import Route
from stagedoor.domain.tuning import Tuning, parse_tuning, tuning_tags
from stagedoor.errors import InvalidTag, RegistryGarbled
from stagedoor.paths import StatePaths

FORMAT: Final = 1
_STATES: Final = ("pending", "ready", "refused")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How the last read of the registry went. Times are seconds since the epoch; `error` is a sentence, or None.

    `succeeded_at` is the last success, however long ago; `problems` counts what is asked for and not done.
    """

    attempted_at: float
    succeeded_at: float | None
    error: str | None
    read_seconds: float
    models: int
    problems: int

    def staleness(self, now: float) -> float | None:
        """Seconds since the registry was last read well; None if it never was."""
        return None if self.succeeded_at is None else max(0.0, now - self.succeeded_at)


# --- snapshot ---------------------------------------------------------------------------------------------------------


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Replace the snapshot file as a whole; it survives a crash of the machine."""
    models = {name: _from_model(entry) for name, entry in snapshot.models.items()}
    replace_file(path, orjson.dumps({"format": FORMAT, "serial": snapshot.serial, "models": models}))


def read_snapshot(path: Path) -> Snapshot:
    """Read and check the snapshot file.

    Raises FileNotFoundError if there is none yet, RegistryGarbled if it is damaged or of another format.
    """
    body = path.read_bytes()
    try:
        data = orjson.loads(body)
        _need(data["format"] == FORMAT)
        models = {_text(name): _to_model(name, entry) for name, entry in data["models"].items()}
        return Snapshot(_number(data["serial"]), models)
    except (ValueError, KeyError, TypeError, AttributeError, InvalidTag) as error:
        raise RegistryGarbled("The snapshot file is damaged; the resolver writes a new one with its next change.") from error


def _from_model(entry: ModelEntry) -> dict[str, Any]:
    """Only what differs from the default: most of a large registry's models serve nothing."""
    data = {
        "aliases": dict(entry.aliases),
        "stages": dict(entry.stages),
        "policy": entry.policy,
        "sticky": entry.sticky,
        "route": _from_route(entry.route) if entry.route else None,
        "versions": {version: _from_version(found) for version, found in entry.versions.items()},
        "problems": entry.problems,
        "issued": entry.issued,
        "created_at": entry.created_at,
        "tuning": tuning_tags(entry.tuning),
    }
    return {key: value for key, value in data.items() if value}


def _from_version(entry: VersionEntry) -> dict[str, Any]:
    return {key: value for key, value in asdict(entry).items() if value}


def _from_route(route: Route) -> dict[str, Any]:
    return {"issued": route.issued, **orjson.loads(write_route(route))}


def _to_model(name: str, data: dict[str, Any]) -> ModelEntry:
    route = data.get("route")
    return ModelEntry(
        name,
        aliases=_texts(data.get("aliases", {})),
        stages=_texts(data.get("stages", {})),
        policy=_text_or_none(data.get("policy")),
        sticky=_text_or_none(data.get("sticky")),
        route=_to_route(route) if route is not None else None,
        versions={version: _to_version(version, found) for version, found in data.get("versions", {}).items()},
        problems=tuple(map(_text, data.get("problems", ()))),
        issued=_issued(_text_or_none(data.get("issued"))),
        created_at=_number(data.get("created_at", 0)),
        tuning=_to_tuning(data.get("tuning", {})),
    )


def _to_version(version: str, data: dict[str, Any]) -> VersionEntry:
    _need(data["version"] == version and data["state"] in _STATES)
    texts = {key: _text(data.get(key, "")) for key in ("digest", "flavor", "code", "reason", "compiled")}
    return VersionEntry(version, cast("State", data["state"]), memory_bytes=_number(data.get("memory_bytes", 0)), **texts)


def _to_route(data: dict[str, Any]) -> Route:
    """The first release wrote less of a route: what is missing has the default."""
    return replace(read_route(orjson.dumps({"format": 1, **data}).decode()), issued=data.get("issued") is True)


def _issued(text: str | None) -> str | None:
    if text is not None:
        read_route(text)
    return text


def _to_tuning(data: dict[str, Any]) -> Tuning:
    tuning, problems = parse_tuning(_texts(data))
    _need(not problems)
    return tuning


def _need(condition: bool) -> None:  # noqa: FBT001  an assertion that stays in optimised code
    if not condition:
        raise ValueError("not of the form that is written here")


def _text(value: object) -> str:
    _need(isinstance(value, str))
    return cast("str", value)


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _texts(data: dict[str, Any]) -> dict[str, str]:
    return {_text(key): _text(value) for key, value in data.items()}


def _number(value: object) -> int:
    _need(isinstance(value, int) and not isinstance(value, bool) and value >= 0)
    return cast("int", value)


# --- heartbeat --------------------------------------------------------------------------------------------------------


def write_heartbeat(path: Path, heartbeat: Heartbeat) -> None:
    """Replace the heartbeat; the machine's crash may lose it, which only looks stale."""
    replace_file(path, orjson.dumps(asdict(heartbeat)), sync=False)


def read_heartbeat(path: Path) -> Heartbeat | None:
    """The last heartbeat; None if there is none, or none that can be read."""
    try:
        data = orjson.loads(path.read_bytes())
        return Heartbeat(**{field: data[field] for field in Heartbeat.__slots__})
    except (OSError, ValueError, KeyError, TypeError):
        return None


# --- nudges and demands -----------------------------------------------------------------------------------------------


def request_nudge(paths: StatePaths) -> None:
    """Make the resolver look at the registry at once."""
    paths.nudge.parent.mkdir(parents=True, exist_ok=True)
    paths.nudge.touch()
    # The kernel's own stamps have steps of milliseconds, in which a second nudge would be lost.
    now = time.time_ns()
    os.utime(paths.nudge, ns=(now, now))


def demand_version(paths: StatePaths, name: str, version: str) -> None:
    """Ask the resolver for a version that no alias names, or say that it is still wanted. Cheap when asked before."""
    digest = hashlib.sha256(f"{name}\0{version}".encode()).hexdigest()
    path = paths.demand / f"{digest[:40]}.json"
    try:
        os.utime(path)
    except FileNotFoundError:
        replace_file(path, orjson.dumps({"name": name, "version": version}), sync=False)


def read_demand(path: Path) -> tuple[str, str] | None:
    """The name and version a demand file asks for; None if it is gone or says nothing."""
    try:
        data = orjson.loads(path.read_bytes())
        return _text(data["name"]), _text(data["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def replace_file(path: Path, body: bytes, *, sync: bool = True) -> None:
    """Write a file as a whole or not at all, making its folder first. `sync` puts it beyond a crash of the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(body)
            if sync:
                out.flush()
                os.fsync(out.fileno())
        Path(temporary).replace(path)
    except BaseException:  # the temporary file must not stay, whatever happened; the error goes on
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
