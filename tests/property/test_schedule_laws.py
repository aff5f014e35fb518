import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.resolver.schedule import (
    ABSENT_LIFE,
    DEMAND_LIFE,
    MAX_DEMANDS,
    NOT_FOUND,
    Known,
    Outcome,
    backoff,
    live_demands,
)
from stagedoor.domain.snapshot import VersionEntry

READY = VersionEntry("1", "ready", "ab")
REFUSED = VersionEntry("1", "refused", code="load_failed", reason="x")
PENDING = VersionEntry("1", "pending")


@given(attempts=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_a_retry_comes_after_a_second_at_first_and_five_minutes_at_most(attempts: int, chance: float) -> None:
    assert 0.8 <= backoff(attempts, chance) <= 300 * 1.2
    assert backoff(attempts, chance) <= backoff(attempts + 1, chance)


def test_the_waits_double() -> None:
    assert [backoff(n, 0.5) for n in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_ready_version_is_done_and_forgets_its_failures() -> None:
    known = Known(PENDING).after(Outcome(REFUSED), 10.0, 0.5)
    assert (known.attempts, known.retry_at, known.done) == (1, 11.0, False)
    assert known.after(Outcome(READY), 20.0, 0.5) == Known(READY, done=True)


def test_a_ready_version_that_could_not_be_checked_is_checked_again() -> None:
    known = Known(READY).after(Outcome(READY, settled=False), 10.0, 0.5)
    assert (known.entry, known.done, known.retry_at) == (READY, False, 11.0)


def test_what_is_ready_is_compiled_where_there_is_more_and_never_prepared_again_for_that() -> None:
    known = Known(PENDING)
    assert known.due == "prepare"
    known = known.after(Outcome(READY, more=True), 10.0, 0.5)
    assert (known.due, known.retry_at) == ("compile", 0.0)
    known = known.after(Outcome(READY, settled=False, more=True), 20.0, 0.5)
    assert (known.due, known.retry_at) == ("compile", 21.0)
    assert (known.anew().due, known.anew().retry_at, known.anew().entry) == ("prepare", 0.0, READY)
    assert known.after(Outcome(READY), 30.0, 0.5).due is None


@pytest.mark.parametrize(
    ("age", "entry", "lives"),
    [
        (0, None, True),
        (DEMAND_LIFE, READY, True),
        (DEMAND_LIFE + 1, READY, False),
        (ABSENT_LIFE, VersionEntry("1", "refused", code=NOT_FOUND), True),
        (ABSENT_LIFE + 1, VersionEntry("1", "refused", code=NOT_FOUND), False),
        (ABSENT_LIFE + 1, REFUSED, True),
    ],
)
def test_a_demand_lives_an_hour_and_one_for_nothing_ten_seconds(age: float, entry: VersionEntry | None, lives: bool) -> None:  # noqa: FBT001
    key = ("fraud", "1")
    known = {key: Known(entry)} if entry else {}
    assert live_demands({key: 1000.0}, known, 1000.0 + age) == (frozenset({key}) if lives else frozenset())


def test_of_too_many_demands_the_latest_count() -> None:
    demands = {("fraud", str(n)): float(n) for n in range(MAX_DEMANDS + 50)}
    live = live_demands(demands, {}, float(MAX_DEMANDS + 50))
    assert live == {("fraud", str(n)) for n in range(50, MAX_DEMANDS + 50)}
