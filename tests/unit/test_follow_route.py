"""A machine follows the route that a controller issued: what it serves, and what it says where it cannot."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from stagedoor.domain.follow import Follower, follow, versions_in_use, wanted_versions
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.route_tag import write_route
from stagedoor.domain.snapshot import ModelEntry, VersionEntry
from stagedoor.domain.traffic import Arm, Drill, Rolling, Route

HERE = Follower("route", "north-1")
ALL = tuple("123456789")


def have(*ready: str, **others: str) -> dict[str, VersionEntry]:
    """Versions by number: those `ready`, and others as `_8="refused"`."""
    found = {version: VersionEntry(version, "ready", f"digest-{version}") for version in ready}
    for name, state in others.items():
        version = name.removeprefix("_")
        found[version] = VersionEntry(version, state, code="load_failed" if state == "refused" else "", reason="It broke.")  # type: ignore[arg-type]
    return found


def canary(epoch: int, stable: str = "7", candidate: str = "8", share: int = 1000, **members: Any) -> Route:
    arms = (Arm("champion", stable, 10_000 - share), Arm("candidate", candidate, share))
    members = {"aliases": (("champion", stable),), "watched": True, "shield": True} | members
    return Route(epoch, arms, b"salt", issued=True, **members)


def steady(epoch: int, stable: str = "7", **members: Any) -> Route:
    members = {"aliases": (("champion", stable),)} | members
    return Route(epoch, (Arm("champion", stable, 10_000),), b"salt", issued=True, **members)


def model(route: Route | str | None = None, aliases: Mapping[str, str] | None = None, **more: Any) -> RegisteredModel:
    tags = dict(more.pop("tags", {}))
    if route is not None:
        tags["stagedoor.route"] = route if isinstance(route, str) else write_route(route)
    return RegisteredModel("fraud", {"champion": "8"} if aliases is None else aliases, tags=tags, created_at=5, **more)


def after(
    wish: RegisteredModel,
    before: ModelEntry | None = None,
    versions: dict[str, VersionEntry] | None = None,
    how: Follower = HERE,
) -> ModelEntry:
    return follow(wish, have(*ALL) if versions is None else versions, before, 900, how)


def test_an_issued_route_is_in_force_as_it_stands() -> None:
    route = canary(12, warm=("6",), mirror="5", slow_seconds=0.1, drill=Drill("nan", 0.5, "c", 9.0), reason="r", by="alice")
    entry = after(model(route))
    assert entry.route == route
    assert entry.problems == ()
    assert entry.aliases == {"champion": "7"}


def test_the_alias_that_a_person_moved_means_what_the_route_says() -> None:
    entry = after(model(canary(12), {"champion": "8", "challenger": "9", "beta": "5"}))
    assert entry.aliases == {"champion": "7", "beta": "5"}


def test_an_alias_of_the_traffic_tag_is_governed_too() -> None:
    wish = model(steady(12), {"champion": "7", "blue": "9"}, tags={"stagedoor.traffic": "champion=90,blue=10"})
    assert after(wish).aliases == {"champion": "7"}
    split = canary(13, candidate="6", aliases=(("champion", "7"), ("blue", "6")))
    assert after(model(split, wish.aliases, tags=wish.tags)).aliases == {"champion": "7", "blue": "6"}


def test_an_alias_that_the_route_answers_for_needs_no_alias_in_the_registry() -> None:
    assert after(model(steady(12, aliases=(("next", "8"),)), {"next": "9"})).aliases == {"next": "8"}


@pytest.mark.parametrize("state", ["pending", "refused"])
def test_a_route_whose_candidate_is_not_ready_leaves_the_one_before_in_force(state: str) -> None:
    before = after(model(steady(11)))
    entry = after(model(canary(12)), before, have("7", _8=state))
    assert entry.route == steady(11)
    assert entry.aliases == {"champion": "7"}
    (problem,) = entry.problems
    assert problem.startswith("Epoch 12: version 8 (candidate)")
    assert problem.endswith("epoch 11 stays")
    assert after(model(canary(12)), entry).route == canary(12)


def test_without_a_route_before_it_the_stable_version_answers_alone_and_nothing_is_counted() -> None:
    entry = after(model(canary(12, mirror="5")), None, have("7", _8="refused"))
    assert entry.route is not None
    assert entry.route.arms == (Arm("champion", "7", 10_000),)
    assert (entry.route.epoch, entry.route.watched, entry.route.mirror) == (12, False, None)
    assert "the stable version answers alone" in entry.problems[0]
    assert after(model(canary(12, mirror="5")), entry).route == canary(12, mirror="5")


def test_without_the_stable_version_and_a_route_before_it_nothing_is_live() -> None:
    entry = after(model(canary(12)), None, have("8", _7="refused"))
    assert entry.route is None
    assert entry.aliases == {}
    assert entry.problems == ("Epoch 12: version 7 (champion) was refused (load_failed): It broke.; nothing is live",)


def test_a_candidate_that_is_lost_on_this_machine_leaves_its_requests_to_the_stable_version() -> None:
    before = after(model(canary(12)))
    entry = after(model(canary(12)), before, have("7", _8="refused"))
    assert entry.route is not None
    assert (entry.route.epoch, entry.route.arms, entry.route.watched) == (12, (Arm("champion", "7", 10_000),), False)


@pytest.mark.parametrize("text", ["", "{", '{"format": 1}', '{"format": 2, "epoch": 13}'])
def test_a_malformed_tag_keeps_the_last_route_and_is_a_problem(text: str) -> None:
    before = after(model(canary(12)))
    entry = after(model(text), before)
    assert entry.route == canary(12)
    assert "stagedoor.route" in entry.problems[0]
    assert after(model(text), None).route is None


def test_a_route_that_is_known_and_not_yet_in_force_outlives_its_tag() -> None:
    waiting = after(model(canary(12)), after(model(steady(11))), have("7", _8="pending"))
    for wish in (model("{"), model()):
        entry = after(wish, waiting)
        assert entry.route == canary(12)
        assert len(entry.problems) == 1


@pytest.mark.parametrize("known", [canary(12), steady(12)])
def test_an_older_epoch_is_ignored_and_is_a_problem(known: Route) -> None:
    before = after(model(known))
    entry = after(model(canary(11, candidate="9")), before)
    assert entry.route == known
    assert entry.problems == ("Tag stagedoor.route names epoch 11, older than 12; no epoch goes back",)


def test_an_epoch_older_than_one_that_waits_is_ignored_too() -> None:
    waiting = after(model(canary(12)), after(model(steady(10))), have("7", _8="pending"))
    entry = after(model(canary(11, candidate="9")), waiting)
    assert entry.route == canary(12)


def test_a_missing_tag_keeps_the_route_while_somebody_asks_for_the_model() -> None:
    before = after(model(canary(12)))
    entry = after(model(), before)
    assert entry.route == canary(12)
    assert entry.problems == ("Tag stagedoor.route is gone; epoch 12 stays until the controller writes it again",)


def test_a_missing_tag_of_a_model_that_nobody_asks_for_is_a_withdrawal() -> None:
    entry = after(model(None, {}), after(model(canary(12))))
    assert (entry.route, entry.aliases, entry.issued, entry.problems) == (None, {}, None, ())


def test_nothing_is_live_until_a_controller_says_so() -> None:
    entry = after(model(None, {"champion": "8", "beta": "9"}))
    assert (entry.route, entry.aliases) == (None, {"beta": "9"})
    assert entry.problems == ("The model waits for a controller to issue its first route; nothing is live",)


def test_what_the_aliases_led_to_goes_on_until_the_controllers_first_route() -> None:
    alone = after(model(None, {"champion": "7"}), how=Follower())
    assert alone.route is not None
    assert alone.route.epoch == 900
    entry = after(model(None, {"champion": "8", "challenger": "9"}), alone)
    assert entry.route == replace(alone.route, epoch=0)
    assert entry.aliases == {"champion": "7"}
    assert "what was live before stays" in entry.problems[0]
    assert after(model(steady(1)), entry).route == steady(1)


def test_without_a_controller_the_tag_is_ignored_and_an_issued_route_is_derived_anew() -> None:
    issued = after(model(canary(12), {"champion": "7"}))
    entry = after(model(canary(12), {"champion": "7"}), issued, how=Follower())
    assert entry.route is not None
    assert (entry.route.epoch, entry.route.issued, entry.route.arms) == (900, False, (Arm("champion", "7", 10_000),))
    assert (entry.issued, entry.problems) == (None, ())


def test_a_listed_machine_gives_everything_to_the_rolling_version_and_keeps_the_others_warm() -> None:
    route = steady(12, rolling=Rolling("8", ("north-0", "north-1")), warm=("6",))
    entry = after(model(route))
    assert entry.route is not None
    assert entry.route.arms == (Arm("candidate", "8", 10_000),)
    assert entry.route.warm == ("7", "6")
    assert after(model(route), how=Follower("route", "north-2")).route == route


def test_a_listed_machine_without_the_rolling_version_serves_what_it_served() -> None:
    route = steady(12, rolling=Rolling("8", ("north-1",)))
    before = after(model(steady(11)))
    entry = after(model(route), before, have("7", _8="refused"))
    assert entry.route == steady(11)
    fresh = after(model(route), None, have("7", _8="refused"))
    assert fresh.route is not None
    assert fresh.route.arms == (Arm("champion", "7", 10_000),)


def test_a_mirror_that_is_not_ready_holds_nothing_up_and_is_a_problem() -> None:
    entry = after(model(steady(12, mirror="9")), None, have("7", _9="pending"))
    assert entry.route == steady(12, mirror="9")
    assert entry.problems == ("Epoch 12: version 9 is on its way; nothing is mirrored to it",)


def test_a_governed_alias_means_its_old_version_until_the_new_one_is_ready() -> None:
    before = after(model(steady(11, aliases=(("champion", "7"), ("challenger", "5")))))
    entry = after(model(steady(12, aliases=(("champion", "7"), ("challenger", "9")))), before, have("7", "5", _9="pending"))
    assert entry.aliases == {"champion": "7", "challenger": "5"}
    assert entry.problems == ("alias challenger: version 9 is on its way; version 5 keeps serving",)


def test_production_means_the_stable_version_where_there_is_no_champion() -> None:
    stages = {"Production": "9", "Staging": "5", "None": "4"}
    entry = after(model(canary(12), {}, stages=stages))
    assert entry.stages == {"Production": "7", "Staging": "5", "None": "4"}
    assert after(model(canary(12), stages=stages)).stages == stages
    assert after(model(None, {}, stages=stages)).stages == {"Staging": "5", "None": "4"}


def test_all_that_a_route_names_is_wanted_and_in_use() -> None:
    route = canary(12, warm=("6",), mirror="5", aliases=(("champion", "7"), ("challenger", "4")), rolling=Rolling("3", ()))
    wish = model(route, {"champion": "9"})
    assert wanted_versions(wish, None, HERE) == set("3456789")
    assert wanted_versions(wish) == {"9"}
    entry = after(wish)
    assert versions_in_use(entry) == set("345678")
    assert wanted_versions(model("{", {"champion": "9"}), entry, HERE) == set("3456789")


def test_a_tag_like_every_other_is_read_beside_the_route() -> None:
    wish = model(steady(12), {"champion": "7"}, tags={"stagedoor.traffic": "champion=90", "stagedoor.sticky": "cookie:x"})
    assert [problem.split(":")[0] for problem in after(wish).problems] == ["Tag stagedoor.traffic", "Tag stagedoor.sticky"]
