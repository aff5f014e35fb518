"""Whatever snapshots come, in whatever order, and whatever loads: a worker's view only moves forward and is whole."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serving.loading.version import Version
from serving.pool.view import EMPTY, Key, advance, arm_keys, ready_keys, with_stand_ins
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route

NAMES = ("a", "b")
VERSIONS = ("1", "2", "3")
FORMS = ("", "", "graph", "another graph")


def version_of(key: Key) -> Version:
    nothing: Any = None
    # The flavour tells the forms apart.
    return Version(key.name, key.version, key.digest, key.compiled, nothing, nothing, True, 0.0, 1)  # noqa: FBT003


@st.composite
def entries(draw: st.DrawFn, name: str, serial: int) -> ModelEntry:
    arms = draw(st.lists(st.sampled_from(VERSIONS), unique=True, max_size=3))
    digest = draw(st.sampled_from(["x", "y"]))
    forms = {version: draw(st.sampled_from(FORMS)) for version in VERSIONS}
    versions = {v: VersionEntry(v, "ready", digest + v, compiled=forms[v]) for v in VERSIONS}
    weights = [10_000 - len(arms) + 1, *[1] * (len(arms) - 1)]
    epoch = draw(st.integers(1, serial))
    warm = tuple(draw(st.lists(st.sampled_from(VERSIONS), max_size=2)))
    split = tuple(Arm(v, v, w) for v, w in zip(arms, weights, strict=False))
    route = Route(epoch, split, b"s", issued=draw(st.booleans()), watched=True, warm=warm) if arms else None
    return ModelEntry(name, route=route, versions=versions, created_at=draw(st.sampled_from([1, 1, 1, 2])))


@st.composite
def moments(draw: st.DrawFn) -> tuple[Snapshot, set[Key], set[Key]]:
    """A snapshot, the keys that are loaded by then, and those that have failed."""
    serial = draw(st.integers(1, 30))
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    models = {name: draw(entries(name, serial)) for name in names}
    every = [Key(name, v, digest + v, form) for name in NAMES for v in VERSIONS for digest in "xy" for form in sorted({*FORMS})]
    loaded = draw(st.sets(st.sampled_from(every)))
    failed = draw(st.sets(st.sampled_from(every)))
    return Snapshot(serial, models), loaded, failed - loaded


@given(st.lists(moments(), max_size=12))
def test_serials_and_epochs_never_go_back_and_every_route_is_whole(steps: list[tuple[Snapshot, set[Key], set[Key]]]) -> None:
    view = EMPTY
    in_force: set[Key] = set()
    for snapshot, loaded, failed in steps:
        kept = {key: version_of(key) for key in loaded | in_force}
        before, view = view, advance(view, snapshot, kept, failed).view
        assert view.serial >= before.serial
        assert view.models.keys() == snapshot.models.keys()
        arms = {key for live in view.models.values() for key in arm_keys(live.entry)}
        in_force = with_stand_ins(arms, kept) & kept.keys()
        for name, live in view.models.items():
            old = before.models.get(name)
            if old is not None and old.entry.route is not None and live.entry.route is not None:
                of_one_count = old.entry.route.issued == live.entry.route.issued
                if of_one_count and old.entry.created_at == live.entry.created_at:
                    assert live.entry.route.epoch >= old.entry.route.epoch
            for key in arm_keys(live.entry):
                assert live.loaded[key.version].digest == key.digest
            arms = live.entry.route.arms if live.entry.route else ()
            assert len(arms) == len(arm_keys(live.entry))


@given(moments())
def test_once_all_is_loaded_the_snapshot_is_in_force_as_it_stands(moment: tuple[Snapshot, set[Key], set[Key]]) -> None:
    snapshot, _, _ = moment
    keys = [key for entry in snapshot.models.values() for key in arm_keys(entry)]
    step = advance(EMPTY, snapshot, {key: version_of(key) for key in keys}, ())
    assert step.missing == ()
    assert step.view.serial == snapshot.serial
    assert {name: live.entry for name, live in step.view.models.items()} == dict(snapshot.models)


@given(moments())
def test_a_load_under_way_holds_the_serial_back_and_a_failed_one_does_not(moment: tuple[Snapshot, set[Key], set[Key]]) -> None:
    snapshot, _, _ = moment
    step = advance(EMPTY, snapshot, {}, ())
    assert (step.view.serial == 0) == bool(step.missing)
    assert advance(EMPTY, snapshot, {}, set(step.missing)).view.serial == snapshot.serial
    for key in step.missing:
        assert step.view.models[key.name].entry == replace(snapshot.models[key.name], route=None)


@given(moments())
def test_a_candidate_that_failed_to_load_leaves_an_issued_route_to_its_stable_arm(
    moment: tuple[Snapshot, set[Key], set[Key]],
) -> None:
    snapshot, _, _ = moment
    stable = {key for entry in snapshot.models.values() for key in arm_keys(entry)[:1]}
    missing = set(advance(EMPTY, snapshot, {}, ()).missing) - stable
    step = advance(EMPTY, snapshot, {key: version_of(key) for key in stable}, missing)
    for name, live in step.view.models.items():
        asked = snapshot.models[name].route
        failed = any(key.name == name for key in missing)
        if asked is None or not failed:
            assert live.entry.route == asked
        elif asked.issued:
            assert live.entry.route is not None
            assert (live.entry.route.arms, live.entry.route.watched) == ((replace(asked.stable, weight=10_000),), False)
        else:
            assert live.entry.route is None


@given(moments(), st.data())
def test_no_route_waits_for_a_form_and_every_version_serves_in_the_one_that_is_wanted_once_that_is_loaded(
    moment: tuple[Snapshot, set[Key], set[Key]], data: st.DataObject
) -> None:
    snapshot, _, _ = moment
    arms = [key for entry in snapshot.models.values() for key in arm_keys(entry)]
    loaded = {key._replace(compiled=data.draw(st.sampled_from(FORMS))) for key in arms}
    loaded |= {key for key in arms if data.draw(st.booleans())}
    step = advance(EMPTY, snapshot, {key: version_of(key) for key in loaded}, ())
    assert step.missing == ()
    assert {name: live.entry for name, live in step.view.models.items()} == dict(snapshot.models)
    wanted = {key for entry in snapshot.models.values() for key in ready_keys(entry)}
    assert {key for key in arms if key not in loaded} <= set(step.beside) <= wanted - loaded
    for key in arms:
        form = step.view.models[key.name].loaded[key.version].flavor
        assert form == key.compiled if key in loaded else key._replace(compiled=form) in loaded
