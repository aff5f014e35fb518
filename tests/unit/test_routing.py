"""From the name a caller uses to the version that answers."""

from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from serving.pool import LiveModel, View
from serving.routing import PINNED, choose
from stagedoor.domain.refs import ModelRef
from stagedoor.domain.snapshot import ModelEntry, VersionEntry
from stagedoor.domain.traffic import Arm, Route, Sticky
from stagedoor.errors import ModelNotFound, NotReady, StagedoorError, VersionNotReady, VersionRefused


class Caller(NamedTuple):
    headers: dict[str, str]
    claims: dict[str, Any]
    draw: int
    at: float


SPLIT = (Arm("champion", "7", 5_000), Arm("challenger", "8", 5_000))


def view_of(entry: ModelEntry | None, loaded: dict[str, Any] | None = None, serial: int = 4) -> View:
    models = {} if entry is None else {entry.name: LiveModel(entry, MappingProxyType(loaded or {}))}
    return View(serial, MappingProxyType(models))


def entry_of(route: Route | None = None, **fields: Any) -> ModelEntry:
    versions = {v: VersionEntry(v, "ready", "d") for v in ("6", "7", "8")}
    given = {"aliases": {"champion": "7", "challenger": "8"}, "stages": {"Staging": "6"}, "versions": versions} | fields
    return ModelEntry("fraud", route=route, **given)


def chosen(
    view: View, ref: str, headers: dict[str, str] | None = None, claims: dict[str, Any] | None = None, draw: int = 1
) -> Any:
    return choose(view, ModelRef.parse(ref), Caller(headers or {}, claims or {}, draw, at=1_000.0))


def test_a_plain_name_follows_the_route() -> None:
    loaded = object()
    choice, bucket, _ = chosen(view_of(entry_of(Route(4, (Arm("champion", "7", 10_000),), b"s")), {"7": loaded}), "fraud")
    assert (choice.version, choice.arm, choice.epoch, bucket, choice.loaded) == ("7", "champion", 4, None, loaded)


@pytest.mark.parametrize(
    ("ref", "version", "arm"),
    [
        ("fraud@challenger", "8", "challenger"),
        ("fraud/Staging", "6", "Staging"),
        ("fraud/6", "6", PINNED),
        ("fraud/99", "99", PINNED),
    ],
)
def test_other_names_pass_the_split_by(ref: str, version: str, arm: str) -> None:
    choice, bucket, _ = chosen(view_of(entry_of(Route(4, SPLIT, b"s"))), ref)
    assert (choice.version, choice.arm, bucket) == (version, arm, None)


@pytest.mark.parametrize("ref", ["fraud@gone", "fraud/Production", "other", "other@champion"])
def test_a_name_that_means_nothing_is_not_found(ref: str) -> None:
    with pytest.raises(ModelNotFound):
        chosen(view_of(entry_of(Route(4, SPLIT, b"s"))), ref)


def test_a_pinned_version_of_a_model_not_followed_is_worth_asking_for() -> None:
    assert chosen(view_of(None), "other/3").choice.loaded is None


def test_before_the_first_snapshot_nothing_is_denied() -> None:
    with pytest.raises(NotReady):
        chosen(view_of(None, serial=0), "fraud")


@pytest.mark.parametrize(("state", "error"), [("pending", VersionNotReady), ("refused", VersionRefused)])
def test_a_model_with_nothing_live_says_why(state: Any, error: type[StagedoorError]) -> None:
    entry = entry_of(None, versions={"7": VersionEntry("7", state, reason="its file is missing")})
    with pytest.raises(error):
        chosen(view_of(entry), "fraud")


def test_a_model_that_waits_for_the_controller_is_not_ready_rather_than_unknown() -> None:
    waiting = entry_of(None, aliases={}, versions={"7": VersionEntry("7", "ready")}, problems=("It waits for the controller.",))
    with pytest.raises(VersionNotReady):
        chosen(view_of(waiting), "fraud")


def test_a_model_without_a_champion_has_no_plain_name() -> None:
    with pytest.raises(ModelNotFound):
        chosen(view_of(entry_of(None, aliases={})), "fraud")


@pytest.mark.parametrize(
    ("sticky", "headers", "claims"),
    [
        (Sticky("header", "X-User-Id"), {"x-user-id": "ann"}, {}),
        (Sticky("claim", "sub"), {}, {"sub": "ann"}),
    ],
)
def test_a_sticky_caller_keeps_the_arm(sticky: Sticky, headers: dict[str, str], claims: dict[str, Any]) -> None:
    view = view_of(entry_of(Route(4, SPLIT, b"s", sticky)))
    assert len({chosen(view, "fraud", headers, claims, draw).choice.version for draw in range(50)}) == 1


def test_requests_that_fall_to_the_same_arm_share_what_was_found_out_of_it() -> None:
    view = view_of(entry_of(Route(4, SPLIT, b"s", watched=True, shield=True)))
    routed = [chosen(view, "fraud", draw=draw) for draw in range(50)]
    assert len({id(choice) for choice, _, _ in routed}) == 2
    assert len({bucket for _, bucket, _ in routed}) > 25


def test_a_watched_sticky_caller_is_a_unit_of_its_own() -> None:
    view = view_of(entry_of(Route(4, SPLIT, b"s", Sticky("claim", "sub"), watched=True)))
    units = {chosen(view, "fraud", claims={"sub": who}).unit for who in ("ann", "bob", "ann")}
    assert len(units) == 2
    assert None not in units


def test_a_caller_without_the_sticky_key_is_drawn_per_request() -> None:
    view = view_of(entry_of(Route(4, SPLIT, b"s", Sticky("header", "X-User-Id"))))
    assert {chosen(view, "fraud", draw=draw).choice.version for draw in range(50)} == {"7", "8"}


def test_a_name_outside_ascii_travels_in_headers_percent_encoded() -> None:
    entry = ModelEntry("modèle", route=Route(1, (Arm("champion", "1", 10_000),), b"s"))
    assert ("X-Model-Name", "mod%C3%A8le") in chosen(view_of(entry), "modèle").choice.headers
