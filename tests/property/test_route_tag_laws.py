"""The tag `stagedoor.route`: what is written reads back, and whatever else stands there is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagedoor.domain.route_tag import MAX_COUNT, read_route, write_route
from stagedoor.domain.traffic import WHOLE, Arm, Drill, Rolling, Route, Sticky
from stagedoor.errors import InvalidTag

versions = st.integers(1, 2**63 - 1).map(str)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
aliases = st.sampled_from(["champion", "challenger", "candidate", "Production", "ä-b_c"])
times = st.floats(0, 1e10)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    named = draw(st.lists(aliases, min_size=1, max_size=3, unique=True))
    shares = [draw(st.integers(0, WHOLE // 3)) for _ in named[1:]]
    weights = [WHOLE - sum(shares), *shares]
    return Route(
        draw(st.integers(0, MAX_COUNT)),
        tuple(Arm(name, draw(versions), weight) for name, weight in zip(named, weights, strict=True)),
        draw(st.binary(min_size=1, max_size=64)),
        draw(st.sampled_from([None, Sticky("header", "X-User-Id"), Sticky("claim", "https://x/y")])),
        draw(words),
        draw(words),
        issued=True,
        aliases=tuple(draw(st.dictionaries(aliases, versions, max_size=3)).items()),
        watched=draw(st.booleans()),
        slow_seconds=draw(st.none() | times),
        warm=tuple(draw(st.lists(versions, max_size=3))),
        shield=draw(st.booleans()),
        mirror=draw(st.none() | versions),
        rolling=draw(st.none() | st.builds(Rolling, versions, st.lists(words, max_size=2).map(tuple))),
        drill=draw(st.none() | st.builds(Drill, st.sampled_from(["error", "latency", "nan"]), st.floats(0, 1), words, times)),
    )


@given(routes())
def test_a_route_reads_back_as_it_was_written_in_one_line(route: Route) -> None:
    text = write_route(route)
    assert read_route(text) == route
    assert write_route(read_route(text)) == text
    assert "\n" not in text


GOOD = replace(
    Route(7, (Arm("champion", "2", 9000), Arm("candidate", "3", 1000)), b"salt", reason="r", by="alice", issued=True),
    aliases=(("champion", "2"),),
    watched=True,
    slow_seconds=0.2,
    warm=("1",),
    shield=True,
    mirror="4",
    rolling=Rolling("3", ("a",)),
    drill=Drill("error", 0.5, "cohort", 2e9),
)


@given(st.data())
def test_whatever_is_changed_in_the_tag_it_reads_or_is_refused(data: st.DataObject) -> None:
    document: dict[str, Any] = json.loads(write_route(GOOD))
    key = data.draw(st.sampled_from(sorted(document)))
    document[key] = data.draw(
        st.sampled_from(
            [None, 5, -1, 1.5, True, "x", "\ud800", "", [], {}, [1], {"a": 1}, [[]], 10**30, float("nan"), float("inf")]
        )
    )
    try:
        route = read_route(json.dumps(document))
    except InvalidTag:
        return
    assert read_route(write_route(route)) == route


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "7", "{}", '{"format": 2}', "[" * 100_000, '{"format": 1, "epoch": ' + "9" * 5000 + "}"],
)
def test_what_no_controller_wrote_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(InvalidTag, match="as the controller writes it"):
        read_route(text)
