"""Laws of following a controller, over arbitrary tags, versions that come and go, restarts and workers that lag.

Each epoch is issued with one content, as a controller does; tags come late, twice, out of order, garbled or not at all.
"""

import random
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.loading.version import Version
from serving.pool.view import EMPTY, Key, View, advance, arm_keys
from serving.resolver.following import Here, as_last_known, entry_of
from serving.snapshot_file import read_snapshot, write_snapshot
from stagedoor.domain.follow import Follower
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.issued import on_node, stable_alone
from stagedoor.domain.route_tag import write_route
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import WHOLE, Arm, Rolling, Route

HERE = Follower("route", "here")
GOVERNED = ("champion", "challenger")
NUMBERS = ("1", "2", "3", "4")
UNGATED = "9"
"""A version that people name and no route does."""


def contents(chance: random.Random, epoch: int) -> Route:
    stable, candidate = chance.sample(NUMBERS, 2)
    share = chance.choice([0, 1, 500, 5000])
    arms = (Arm("champion", stable, WHOLE - share), Arm("candidate", candidate, share))
    rolling = Rolling(chance.choice(NUMBERS), chance.choice([(), ("here",), ("there",)]))
    return Route(
        epoch,
        arms if share else (Arm("champion", stable, WHOLE),),
        b"salt",
        issued=True,
        aliases=tuple((alias, chance.choice(NUMBERS)) for alias in GOVERNED if chance.random() < 0.6),
        watched=True,
        warm=tuple(chance.sample(NUMBERS, chance.randrange(3))),
        mirror=chance.choice([None, *NUMBERS]),
        rolling=chance.choice([None, rolling]),
    )


def all_contents(seed: int) -> tuple[Route, ...]:
    chance = random.Random(seed)  # noqa: S311  quicker than drawing each member
    return tuple(contents(chance, epoch) for epoch in range(1, 9))


everything = st.integers(0, 2**32).map(all_contents)
events = st.one_of(
    st.tuples(st.just("tag"), st.integers(1, 8)),
    st.tuples(st.just("tag"), st.integers(1, 8)),
    st.tuples(st.just("garble"), st.sampled_from(["", "{", "[]", '{"format":1}'])),
    st.just(("remove",)),
    st.tuples(st.just("alias"), st.sampled_from((*GOVERNED, "beta")), st.sampled_from([None, "1", UNGATED])),
    st.tuples(st.just("stage"), st.sampled_from([None, "1", UNGATED])),
    st.tuples(st.just("version"), st.sampled_from(NUMBERS), st.sampled_from(["ready", "ready", "pending", "refused"])),
    st.just(("restart",)),
    st.tuples(st.just("load"), st.sets(st.sampled_from(NUMBERS))),
)


@dataclass
class Machine:
    """The resolver's pure part and one worker's."""

    model: RegisteredModel = field(default_factory=lambda: RegisteredModel("m", {"champion": "1"}, created_at=5))
    states: dict[str, Any] = field(default_factory=lambda: dict.fromkeys((*NUMBERS, UNGATED), "ready"))
    entry: ModelEntry | None = None
    view: View = EMPTY
    serial: int = 0
    loadable: frozenset[str] = frozenset(NUMBERS)

    def known(self, version: str) -> VersionEntry:
        return VersionEntry(version, self.states[version], f"d{version}")

    def happen(self, event: tuple[Any, ...], routes: tuple[Route, ...]) -> None:
        kind, *rest = event
        model = self.model
        tags, aliases = dict(model.tags), dict(model.aliases)
        if kind == "tag":
            tags["stagedoor.route"] = write_route(routes[rest[0] - 1])
        elif kind == "garble":
            tags["stagedoor.route"] = rest[0]
        elif kind == "remove":
            tags.pop("stagedoor.route", None)
        elif kind == "alias":
            aliases[rest[0]] = rest[1]
        elif kind == "stage":
            model = replace(model, stages={"Production": rest[0]} if rest[0] else {})
        elif kind == "version":
            self.states[rest[0]] = rest[1]
        elif kind == "load":
            self.loadable = frozenset(rest[0])
        self.model = replace(model, tags=tags, aliases={alias: version for alias, version in aliases.items() if version})
        if kind == "restart" and self.entry is not None:
            self.entry = reread(self.entry)
            self.follow(as_last_known(self.entry))
        else:
            self.follow(self.model)

    def follow(self, model: RegisteredModel) -> None:
        self.serial += 1
        self.entry = entry_of(HERE, model, self.entry, Here(frozenset(), self.known), self.serial)
        snapshot = Snapshot(self.serial, {"m": self.entry})
        held = {key for live in self.view.models.values() for key in arm_keys(live.entry)}
        keys = held | {Key("m", number, f"d{number}") for number in self.loadable}
        failed = {Key("m", number, f"d{number}") for number in NUMBERS} - keys
        self.view = advance(self.view, snapshot, {key: _version(key) for key in keys}, failed).view


def reread(entry: ModelEntry) -> ModelEntry:
    """The entry as a restarted resolver finds it: whatever the file does not keep is lost."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.json"
        write_snapshot(path, Snapshot(1, {"m": entry}))
        return read_snapshot(path).models["m"]


def _version(key: Key) -> Version:
    nothing: Any = None
    return Version(key.name, key.version, key.digest, "onnx", nothing, nothing, quick=True, warm_seconds=0.0, memory_bytes=1)


def check(entry: ModelEntry, routes: tuple[Route, ...]) -> None:
    """What is in force is an issued route, whole or its stable arm alone; governed names mean what some issued route says."""
    named = {(alias, version) for one in routes for alias, version in one.aliases}
    assert {(alias, version) for alias, version in entry.aliases.items() if alias in GOVERNED} <= named
    route = entry.route
    if route is None:
        return
    issued = routes[route.epoch - 1]
    whole = on_node(issued, HERE.node)
    alone = {stable_alone(issued).arms, stable_alone(whole).arms}
    assert route.arms == whole.arms or (route.arms in alone and not route.watched)
    assert UNGATED not in route.versions


@settings(deadline=None, max_examples=150)
@given(everything, st.sets(st.sampled_from(NUMBERS), max_size=2), st.lists(events, max_size=30))
def test_no_epoch_goes_back_and_no_version_answers_that_no_route_names(
    routes: tuple[Route, ...], late: set[str], history: list[tuple[Any, ...]]
) -> None:
    machine = Machine()
    machine.states |= dict.fromkeys(late, "pending")
    last_entry = last_view = 0
    for event in [("alias", "champion", "1"), *history]:
        machine.happen(event, routes)
        assert machine.entry is not None
        check(machine.entry, routes)
        route = machine.entry.route
        assert route is not None or machine.entry.aliases.keys().isdisjoint(GOVERNED)
        if route is None:
            asked = {"champion"} & machine.model.aliases.keys() or machine.model.stages
            last_entry = last_entry if asked else 0  # withdrawn: a controller may begin again
        else:
            assert {machine.states[arm.version] for arm in route.arms} == {"ready"}
            assert route.epoch >= last_entry
            last_entry = route.epoch
        live = machine.view.models["m"]
        check(live.entry, routes)
        in_view = live.entry.route
        if in_view is None:
            last_view = 0 if last_entry == 0 else last_view
        else:
            assert in_view.epoch >= last_view
            last_view = in_view.epoch
            assert {arm.version for arm in in_view.arms} <= live.loaded.keys()


@settings(deadline=None, max_examples=80)
@given(everything, st.lists(events, max_size=15), st.integers(1, 8))
def test_once_everything_is_ready_the_newest_route_known_is_in_force_as_it_was_issued(
    routes: tuple[Route, ...], history: list[tuple[Any, ...]], newest: int
) -> None:
    machine = Machine()
    for event in history:
        machine.happen(event, routes)
    for number in NUMBERS:
        machine.happen(("version", number, "ready"), routes)
    machine.happen(("load", set(NUMBERS)), routes)
    machine.happen(("tag", newest), routes)
    assert machine.entry is not None
    assert machine.entry.route is not None
    assert machine.entry.route.epoch >= newest
    assert machine.entry.route == on_node(routes[machine.entry.route.epoch - 1], HERE.node)
    assert machine.view.models["m"].entry.route == machine.entry.route
    before = machine.entry
    machine.happen(("restart",), routes)
    assert machine.entry.route == before.route
    assert machine.entry.aliases == before.aliases
