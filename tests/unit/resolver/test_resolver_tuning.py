"""How tags that say how to run a model come to the workers: by the next poll, and over restarts of anything."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from serving.pool.view import EMPTY, Key, advance
from serving.snapshot_file import read_snapshot
from stagedoor.domain.snapshot import Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route
from stagedoor.domain.tuning import DEFAULT_CACHE, PLAIN, Caching, Tuning
from stagedoor.errors import RegistryUnavailable

from .world import World

CACHED = Tuning(cache=Caching(60.0, DEFAULT_CACHE))


@pytest.fixture
def tuned(world: World) -> World:
    world.register("fraud", "one", "champion")
    world.registry.set_tag("fraud", "stagedoor.cache", "ttl=1m")
    world.settle()
    return world


def test_a_tag_alone_moves_the_serial_and_not_the_epoch(tuned: World) -> None:
    assert tuned.model().tuning == CACHED
    route, serial = tuned.model().route, tuned.resolver.snapshot.serial
    tuned.registry.set_tag("fraud", "stagedoor.batch", "max=8")
    snapshot = tuned.settle()
    assert snapshot.serial == serial + 1
    assert snapshot.models["fraud"].tuning == Tuning(8, batch_declared=True, cache=CACHED.cache)
    assert snapshot.models["fraud"].route == route


def test_a_malformed_tag_keeps_the_last_well_formed_one_over_a_restart(tuned: World) -> None:
    tuned.registry.set_tag("fraud", "stagedoor.cache", "ttl=forever")
    tuned.settle()
    tuned.start()
    tuned.settle()
    assert tuned.model().tuning == CACHED
    assert any(problem.startswith("Tag stagedoor.cache: write off, or ttl=TIME") for problem in tuned.model().problems)


def test_a_restart_while_the_registry_is_down_keeps_the_tuning_and_writes_nothing_when_it_is_back(tuned: World) -> None:
    serial = tuned.resolver.snapshot.serial
    tuned.registry.broken = RegistryUnavailable("MLflow gives no answer.")
    tuned.start()
    tuned.settle()
    assert tuned.model().tuning == CACHED
    tuned.registry.broken = None
    tuned.settle()
    assert (tuned.model().tuning, tuned.resolver.snapshot.serial) == (CACHED, serial)


def test_a_tag_that_is_removed_is_off(tuned: World) -> None:
    tuned.registry.set_tag("fraud", "stagedoor.cache", None)
    tuned.settle()
    assert tuned.model().tuning == PLAIN


def test_a_snapshot_of_an_earlier_release_reads_as_untuned(tuned: World, tmp_path: Path) -> None:
    document = orjson.loads(tuned.paths.snapshot.read_bytes())
    del document["models"]["fraud"]["tuning"]
    (tmp_path / "old.json").write_bytes(orjson.dumps(document))
    assert read_snapshot(tmp_path / "old.json").models["fraud"].tuning == PLAIN


def test_a_worker_that_waits_for_a_version_takes_the_tuning_at_once(tuned: World) -> None:
    entry = tuned.model()
    one: Any = object()
    loaded = {Key("fraud", "1", entry.versions["1"].digest): one}
    view = advance(EMPTY, Snapshot(1, {"fraud": entry}), loaded, ()).view
    coming = replace(
        entry,
        route=Route(9, (Arm("champion", "2", 10_000),), b"salt"),
        versions={**entry.versions, "2": VersionEntry("2", "ready", "other")},
        tuning=PLAIN,
    )
    after = advance(view, Snapshot(2, {"fraud": coming}), loaded, ()).view
    assert after.models["fraud"].entry == replace(entry, tuning=PLAIN)
