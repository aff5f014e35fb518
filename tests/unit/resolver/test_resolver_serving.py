"""What goes live, when, and what a change of the registry does."""

from serving.store import folder_of

from .world import Later, World


def test_champion_goes_live_once_it_is_fetched_and_probed(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.settle()
    assert world.live() == {"1": 10_000}
    entry = world.model().versions["1"]
    assert (entry.state, entry.flavor, entry.memory_bytes) == ("ready", "onnx", 100)
    assert (folder_of(world.paths.store, entry.digest) / "MLmodel").read_text() == "one"


def test_nothing_is_live_before_its_probe_has_ended(world: World) -> None:
    world.workers = later = Later()
    world.start()
    world.register("fraud", "one", "champion")
    world.settle()
    assert world.live() is None
    assert world.model().versions["1"].state == "pending"
    later.run()
    world.settle()
    assert world.live() == {"1": 10_000}


def test_a_moved_alias_is_live_at_the_next_poll_without_traffic_or_probe(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.register("fraud", "two", "challenger")
    world.settle()
    fetched, probed = list(world.registry.fetches), list(world.probe.probed)
    for version in ("2", "1", "2"):
        world.registry.set_alias("fraud", "champion", version)
        world.settle(1.5)
        assert world.live() == {version: 10_000}
    assert (world.registry.fetches, world.probe.probed) == (fetched, probed)


def test_the_epoch_is_the_serial_at_which_the_route_changed(world: World) -> None:
    world.register("fraud", "one", "champion")
    serial = world.settle().serial
    first = world.model().route
    assert first is not None
    assert first.epoch == serial
    world.register("other", "x", "champion")
    later = world.settle().serial
    assert later > serial
    assert world.model().route == first


def test_nothing_new_publishes_nothing(world: World) -> None:
    world.register("fraud", "one", "champion")
    serial = world.settle().serial
    stamp = world.paths.snapshot.stat().st_mtime_ns
    assert world.settle(20).serial == serial
    assert world.paths.snapshot.stat().st_mtime_ns == stamp


def test_a_malformed_tag_keeps_the_old_policy_and_is_a_problem(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.register("fraud", "two", "challenger")
    world.registry.set_tag("fraud", "stagedoor.traffic", "champion=90,challenger=10")
    world.settle()
    assert world.live() == {"1": 9000, "2": 1000}
    world.registry.set_tag("fraud", "stagedoor.traffic", "champion=90,challenger=20")
    world.settle()
    assert world.live() == {"1": 9000, "2": 1000}
    assert "add up" in world.model().problems[0]
    world.start()
    world.settle()
    assert world.live() == {"1": 9000, "2": 1000}
    world.registry.set_tag("fraud", "stagedoor.traffic", None)
    world.settle()
    assert world.live() == {"1": 10_000}
    assert world.model().problems == ()


def test_a_deleted_alias_ends_what_it_served(world: World) -> None:
    world.register("fraud", "one", "champion")
    world.settle()
    world.registry.delete_alias("fraud", "champion")
    world.settle()
    assert (world.live(), world.model().aliases, world.model().versions) == (None, {}, {})


def test_a_deleted_version_ends_with_its_alias(world: World) -> None:
    world.register("fraud", "one")
    world.register("fraud", "two", "champion")
    world.settle()
    world.registry.delete_version("fraud", "2")
    world.settle()
    assert world.live() is None


def test_a_model_made_anew_under_the_same_name_is_fetched_anew(world: World) -> None:
    world.register("fraud", "one", "champion")
    before = world.settle().models["fraud"].versions["1"].digest
    world.registry.delete_model("fraud")
    world.register("fraud", "another", "champion")
    world.settle()
    assert world.model().versions["1"].digest != before
    assert world.live() == {"1": 10_000}


def test_a_model_deleted_and_made_anew_between_two_polls_or_after_one_never_serves_the_old_files(world: World) -> None:
    for seen in (True, False):
        world.register("fraud", f"old {seen}", "champion")
        world.settle(10)
        world.registry.delete_model("fraud")
        if seen:
            world.settle(10)
        world.register("fraud", f"new {seen}", "champion")
        world.settle(10)
        folder = folder_of(world.paths.store, world.model().versions["1"].digest)
        assert (folder / "MLmodel").read_text() == f"new {seen}"
        world.registry.delete_model("fraud")
        world.settle(10)


def test_only_models_of_the_configured_patterns_are_followed(world: World) -> None:
    world.patterns = ("fraud*", "credit")
    for name in ("fraud", "fraud-eu", "credit", "credit-eu"):
        world.register(name, name, "champion")
    assert set(world.settle().models) == {"fraud", "fraud-eu", "credit"}


def test_a_stage_serves_where_no_alias_does(world: World) -> None:
    world.register("fraud", "one")
    world.registry.set_stage("fraud", "1", "Production")
    world.settle()
    assert world.live() == {"1": 10_000}
    world.register("fraud", "two", "champion")
    world.settle()
    assert world.live() == {"2": 10_000}
