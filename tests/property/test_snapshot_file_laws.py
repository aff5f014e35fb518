import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.snapshot_file import (
    Heartbeat,
    demand_version,
    read_demand,
    read_heartbeat,
    read_snapshot,
    request_nudge,
    write_heartbeat,
    write_snapshot,
)
from stagedoor.domain.route_tag import write_route
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import WHOLE, Arm, Drill, Rolling, Route, Sticky
from stagedoor.domain.tuning import Caching, Tuning
from stagedoor.errors import RegistryGarbled
from stagedoor.paths import StatePaths

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
versions = st.integers(1, 2**63 - 1).map(str)
stickies = st.sampled_from([None, Sticky("header", "X-User-Id"), Sticky("claim", "https://x/y")])


OF_A_CONTROLLER: dict[str, Any] = {
    "by": "alice",
    "issued": True,
    "aliases": (("champion", "2"),),
    "watched": True,
    "slow_seconds": 0.25,
    "warm": ("1", "4"),
    "shield": True,
    "mirror": "5",
    "rolling": Rolling("3", ("north-1",)),
    "drill": Drill("nan", 0.5, "c", 2e9),
}


tunings = st.sampled_from(
    [
        Tuning(),
        Tuning(64, batch_declared=True, cache=Caching(60.0, 2**26), compile=False),
        Tuning(0),
        Tuning(batch_declared=True),
    ]
)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    share = draw(st.integers(0, WHOLE))
    arms = (Arm("champion", draw(versions), WHOLE - share), Arm("challenger", draw(versions), share))
    salt = draw(st.binary(min_size=1, max_size=16))
    route = Route(draw(st.integers(0, 2**53)), arms, salt, draw(stickies), draw(words))
    return draw(st.sampled_from([route, replace(route, **OF_A_CONTROLLER)]))


@st.composite
def entries(draw: st.DrawFn) -> VersionEntry:
    state = draw(st.sampled_from(["pending", "ready", "refused"]))
    texts = draw(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=6)] * 3))
    return VersionEntry(draw(versions), state, texts[0], texts[1], draw(st.integers(0, 2**40)), texts[2], texts[0])  # type: ignore[arg-type]


@st.composite
def models(draw: st.DrawFn) -> ModelEntry:
    found = draw(st.lists(entries(), max_size=3))
    return ModelEntry(
        draw(words),
        draw(st.dictionaries(words, versions, max_size=3)),
        draw(st.dictionaries(words, versions, max_size=2)),
        draw(st.none() | words),
        draw(st.none() | words),
        draw(st.none() | routes()),
        {entry.version: entry for entry in found},
        tuple(draw(st.lists(words, max_size=2))),
        draw(st.none() | routes().map(lambda route: write_route(replace(route, issued=True)))),
        draw(st.integers(0, 2**53)),
        draw(tunings),
    )


snapshots = st.builds(
    lambda serial, found: Snapshot(serial, {entry.name: entry for entry in found}),
    st.integers(0, 2**53),
    st.lists(models(), max_size=4),
)


@given(snapshots)
def test_a_snapshot_reads_back_as_it_was_written(snapshot: Snapshot) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "serving" / "snapshot.json"
        write_snapshot(path, snapshot)
        assert read_snapshot(path) == snapshot
        assert [file.name for file in path.parent.iterdir()] == [path.name]


GOOD = Snapshot(
    7,
    {
        "fraud": ModelEntry(
            "fraud",
            {"champion": "2"},
            {"None": "3"},
            "champion=100",
            None,
            Route(7, (Arm("champion", "2", WHOLE),), b"salt", **OF_A_CONTROLLER),
            {"2": VersionEntry("2", "ready", "ab", "onnx", 5)},
            ("x",),
            write_route(Route(8, (Arm("champion", "2", WHOLE),), b"salt", **OF_A_CONTROLLER)),
            5,
            Tuning(64, batch_declared=True, cache=Caching(60.0, 2**26), compile=False),
        )
    },
)


def paths_of(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, item in inner for path in paths_of(item, (*here, key)))]


@given(st.data())
def test_whatever_is_changed_in_the_file_it_reads_or_is_called_damaged(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.json"
        write_snapshot(path, GOOD)
        document = json.loads(path.read_bytes())
        *way, last = data.draw(st.sampled_from(paths_of(document)[1:]))
        target = document
        for step in way:
            target = target[step]
        target[last] = data.draw(st.sampled_from([None, 5, -1, 1.5, True, "x", "", [], {}, [1], {"a": 1}, [[]]]))
        path.write_bytes(orjson.dumps(document))
        try:
            found = read_snapshot(path)
        except RegistryGarbled:
            return
        assert isinstance(found, Snapshot)


@given(cut=st.integers(0, 200))
def test_a_truncated_file_is_called_damaged(cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.json"
        write_snapshot(path, GOOD)
        path.write_bytes(path.read_bytes()[: -1 - cut])
        with pytest.raises(RegistryGarbled):
            read_snapshot(path)


def test_a_snapshot_of_another_format_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(b'{"format":2,"serial":1,"models":{}}')
    with pytest.raises(RegistryGarbled):
        read_snapshot(path)


def test_no_snapshot_yet_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_snapshot(tmp_path / "snapshot.json")


@given(
    st.builds(
        Heartbeat,
        st.floats(0, 1e10),
        st.none() | st.floats(0, 1e10),
        st.none() | words,
        st.floats(0, 100),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
    )
)
def test_a_heartbeat_reads_back_as_it_was_written(heartbeat: Heartbeat) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heartbeat.json"
        write_heartbeat(path, heartbeat)
        assert read_heartbeat(path) == heartbeat


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[]", b"5", b'"x"'])
def test_a_damaged_heartbeat_is_none(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "heartbeat.json").write_bytes(body)
    assert read_heartbeat(tmp_path / "heartbeat.json") is None
    assert read_heartbeat(tmp_path / "absent.json") is None


@given(name=words, version=versions)
def test_a_demand_says_what_it_asks_for_whatever_the_name(name: str, version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = StatePaths(Path(folder))
        demand_version(paths, name, version)
        demand_version(paths, name, version)
        (file,) = paths.demand.iterdir()
        assert read_demand(file) == (name, version)


def test_every_nudge_changes_the_file(tmp_path: Path) -> None:
    paths = StatePaths(tmp_path)
    stamps = set()
    for _ in range(50):
        request_nudge(paths)
        stamps.add(paths.nudge.stat().st_mtime_ns)
    assert len(stamps) == 50
