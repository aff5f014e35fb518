"""The tags by which a model says how it is to be run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagedoor.domain.follow import Follower, follow
from stagedoor.domain.intent import RegisteredModel
from stagedoor.domain.snapshot import VersionEntry
from stagedoor.domain.tuning import (
    DEFAULT_CACHE,
    MAX_BATCH,
    MAX_CACHE,
    MAX_TTL,
    MIN_CACHE,
    MIN_TTL,
    PLAIN,
    Caching,
    Tuning,
    parse_tuning,
    tuning_tags,
)

BATCH, CACHE, COMPILE = "stagedoor.batch", "stagedoor.cache", "stagedoor.compile"
BEFORE = Tuning(16, batch_declared=True, cache=Caching(5.0, 2**20), compile=False)

READABLE = [
    ({}, PLAIN),
    ({BATCH: "off"}, Tuning(batch=0)),
    ({BATCH: " On "}, Tuning(batch_declared=True)),
    ({BATCH: "max=64"}, Tuning(64, batch_declared=True)),
    ({BATCH: "max = 1"}, Tuning(1, batch_declared=True)),
    ({CACHE: "off"}, PLAIN),
    ({CACHE: "ttl=60s"}, Tuning(cache=Caching(60.0, DEFAULT_CACHE))),
    ({CACHE: "TTL=2h size=64MIB"}, Tuning(cache=Caching(7200.0, 64 * 2**20))),
    ({CACHE: "size=1GiB,ttl=100ms"}, Tuning(cache=Caching(0.1, 2**30))),
    ({CACHE: "ttl=24h size=64KiB"}, Tuning(cache=Caching(86_400.0, 2**16))),
    ({CACHE: "ttl=5m  size=4GiB"}, Tuning(cache=Caching(300.0, 2**32))),
    ({COMPILE: "on"}, PLAIN),
    ({COMPILE: "off"}, Tuning(compile=False)),
    ({BATCH: "off", CACHE: "ttl=1s", COMPILE: "no"}, Tuning(0, cache=Caching(1.0, DEFAULT_CACHE), compile=False)),
    ({"stagedoor.batched": "max=64", "stagedoor.traffic": "champion=100"}, PLAIN),
]

LONG = "9" * 5000
MALFORMED = [
    *[(BATCH, text) for text in ("", "64", "max=0", "max=-1", "max=4097", "max=1.5", "max=64 rows", "max=٣", f"max={LONG}")],
    *[(CACHE, text) for text in ("", "on", "60s", "ttl=60", "ttl=0s", "ttl=99ms", "ttl=25h", "ttl=1d", "ttl=-1s", "ttl=1e3s")],
    *[(CACHE, text) for text in ("size=64MiB", "ttl=1s size=64MB", "ttl=1s size=63KiB", "ttl=1s size=5GiB", "ttl=1s size=64")],
    *[(CACHE, text) for text in ("ttl=1s ttl=2s", "ttl=1s rows=5", "ttl=1s off", "ttl =1s", "ttl=1s " * 9000, f"ttl={LONG}s")],
    *[(COMPILE, text) for text in ("", "onnx", "1", "ON OFF")],
]


@pytest.mark.parametrize(("tags", "expected"), READABLE)
def test_tags_say_how_a_model_is_run(tags: dict[str, str], expected: Tuning) -> None:
    assert parse_tuning(tags) == (expected, ())
    assert parse_tuning(tags, BEFORE) == (expected, ())


@pytest.mark.parametrize(("key", "text"), MALFORMED, ids=lambda text: text[:20])
def test_a_malformed_tag_keeps_what_it_said_before_and_says_how_to_write_it(key: str, text: str) -> None:
    tuning, problems = parse_tuning(tuning_tags(BEFORE) | {key: text}, BEFORE)
    assert tuning == BEFORE
    (problem,) = problems
    assert problem.startswith(f"Tag {key}: write ")
    assert len(problem) < 300
    assert parse_tuning({key: text})[0] == PLAIN


def test_each_tag_is_read_by_itself() -> None:
    tuning, problems = parse_tuning({BATCH: "max=8", CACHE: "forever", COMPILE: "maybe"}, BEFORE)
    assert tuning == Tuning(8, batch_declared=True, cache=BEFORE.cache, compile=False)
    assert [problem.split(":")[0] for problem in problems] == [f"Tag {CACHE}", f"Tag {COMPILE}"]


cachings = st.builds(
    lambda millis, kibs: Caching(millis / 1000, kibs * 1024),
    st.integers(MIN_TTL, MAX_TTL),
    st.integers(MIN_CACHE // 1024, MAX_CACHE // 1024),
)
batches = st.sampled_from([(None, False), (None, True), (0, False)]) | st.integers(1, MAX_BATCH).map(lambda rows: (rows, True))
tunings = st.builds(lambda batch, cache, on: Tuning(*batch, cache, on), batches, st.none() | cachings, st.booleans())


@given(tunings)
def test_a_tuning_written_as_tags_reads_back_as_it_was(tuning: Tuning) -> None:
    assert parse_tuning(tuning_tags(tuning), BEFORE) == (tuning, ())


@given(
    st.dictionaries(st.sampled_from([BATCH, CACHE, COMPILE]), st.text() | st.from_regex(r"(ttl|size|max)=[0-9]+[a-zA-Z]*")),
    tunings,
)
def test_whatever_the_tags_say_nothing_is_raised_and_limits_hold(tags: dict[str, str], before: Tuning) -> None:
    tuning, problems = parse_tuning(tags, before)
    assert len(problems) <= len(tags)
    assert parse_tuning(tuning_tags(tuning)) == (tuning, ())


@pytest.mark.parametrize("mode", ["aliases", "route"])
def test_both_ways_to_follow_carry_the_tuning_and_leave_the_route_as_it_was(mode: str) -> None:
    how = Follower("route" if mode == "route" else "aliases", "north-1")
    versions = {"1": VersionEntry("1", "ready", "digest")}
    before = follow(RegisteredModel("fraud", {"champion": "1"}, created_at=5), versions, None, 7, how)
    tagged = RegisteredModel("fraud", {"champion": "1"}, tags={BATCH: "max=8", CACHE: "nonsense"}, created_at=5)
    after = follow(tagged, versions, before, 8, how)
    assert after.tuning == Tuning(8, batch_declared=True)
    assert after.route == before.route
    assert any(problem.startswith(f"Tag {CACHE}: write ") for problem in after.problems)
