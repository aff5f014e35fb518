import itertools

from serving.resolver.polling import LONGEST_PARTLY, Polling, Scope


def scopes(polling: Polling, seconds: float, full: float, partly: float, *, serving: bool = True) -> list[tuple[float, Scope]]:
    """What is read when, over some time in which a full read takes `full` seconds and a partial one `partly`."""
    found = []
    ticks = int(seconds / 0.02)
    ends_at: float | None = None
    for n in range(ticks):
        now = n * 0.02
        if ends_at is not None:
            if now < ends_at:
                continue
            polling.end(now)
            ends_at = None
        scope = polling.begin(now, serving=serving)
        if scope:
            found.append((now, scope))
            ends_at = now + (full if scope == "all" else partly)
    return found


def test_a_quick_registry_is_read_altogether_at_each_poll() -> None:
    found = scopes(Polling(1.0), 10.0, full=0.03, partly=0.03)
    assert [scope for _, scope in found] == ["all"] * 10


def test_a_slow_registry_is_read_altogether_a_tenth_of_the_time() -> None:
    found = scopes(Polling(1.0), 60.0, full=0.5, partly=0.05)
    assert 11 <= sum(scope == "all" for _, scope in found) <= 13
    assert 45 <= sum(scope == "served" for _, scope in found) <= 50


def test_however_slow_all_is_read_every_fifteen_seconds() -> None:
    found = scopes(Polling(1.0), 120.0, full=4.0, partly=0.05)
    full = [at for at, scope in found if scope == "all"]
    assert all(later - earlier <= LONGEST_PARTLY + 8 for earlier, later in itertools.pairwise(full))
    assert len(full) >= 6


def test_where_nothing_is_served_a_slow_registry_is_just_read_seldom() -> None:
    found = scopes(Polling(1.0), 60.0, full=0.5, partly=0.05, serving=False)
    assert 11 <= len(found) <= 13


def test_a_nudge_reads_what_is_served_and_right_after_all() -> None:
    polling = Polling(1.0)
    assert polling.begin(0.0, serving=True) == "all"
    polling.end(0.5)
    polling.nudge()
    assert polling.begin(0.52, serving=True) == "served"
    polling.end(0.56)
    assert polling.begin(0.58, serving=True) == "all"
    polling.end(1.08)
    assert polling.begin(1.1, serving=True) is None


def test_a_nudge_of_a_quick_registry_reads_all_at_once() -> None:
    polling = Polling(1.0)
    assert polling.begin(0.0, serving=True) == "all"
    polling.end(0.02)
    assert polling.begin(0.04, serving=True) is None
    polling.nudge()
    assert polling.begin(0.06, serving=True) == "all"


def test_a_clock_that_goes_back_stops_nothing() -> None:
    polling = Polling(1.0)
    polling.begin(1000.0, serving=True)
    polling.end(1000.1)
    assert polling.begin(500.0, serving=True) == "all"
