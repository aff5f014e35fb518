from serving.resolver.polling import Polling, Scope


def reads(polling: Polling, seconds: float, takes: float, *, pages: int = 8, well: bool = True) -> list[tuple[float, Scope]]:
    """What is read when, over some time in which each read takes so long."""
    found = []
    ends_at: float | None = None
    for n in range(int(seconds / 0.02)):
        now = n * 0.02
        if ends_at is not None:
            if now < ends_at:
                continue
            polling.end(now, well=well)
            ends_at = None
        scope = polling.begin(now, serving=True, pages=pages)
        if scope:
            found.append((now, scope))
            ends_at = now + takes
    return found


def scopes(found: list[tuple[float, Scope]]) -> list[Scope]:
    return [scope for _, scope in found]


def test_each_poll_reads_one_page() -> None:
    assert scopes(reads(Polling(1.0), 10.0, takes=0.2)) == ["page"] * 10


def test_a_slow_registry_is_read_half_the_time_at_most() -> None:
    assert 4 <= len(reads(Polling(1.0), 20.0, takes=2.0)) <= 5


def test_a_nudge_reads_what_is_served_and_soon_every_page() -> None:
    polling = Polling(1.0)
    polling.nudge()
    found = reads(polling, 5.0, takes=0.2)
    assert scopes(found)[:9] == ["served", *["page"] * 8]
    assert found[8][0] < 4.0
    assert found[9][0] - found[8][0] >= 0.98


def test_a_nudge_of_a_registry_of_one_page_reads_it_at_once() -> None:
    polling = Polling(1.0)
    assert polling.begin(0.0, serving=True, pages=1) == "page"
    polling.end(0.02, well=True)
    assert polling.begin(0.04, serving=True, pages=1) is None
    polling.nudge()
    assert polling.begin(0.06, serving=True, pages=1) == "page"
    polling.end(0.08, well=True)
    assert polling.begin(0.9, serving=True, pages=1) is None


def test_where_nothing_is_served_a_nudge_reads_the_next_page() -> None:
    polling = Polling(1.0)
    polling.nudge()
    assert polling.begin(0.0, serving=False, pages=8) == "page"


def test_there_is_no_hurry_after_a_failure() -> None:
    polling = Polling(1.0)
    polling.nudge()
    assert len(reads(polling, 5.0, takes=0.02, well=False)) == 5


def test_a_page_that_is_wanted_soon_does_not_wait_for_the_next_poll() -> None:
    polling = Polling(1.0)
    polling.begin(0.0, serving=True, pages=2)
    polling.end(0.1, well=True)
    polling.go_on()
    assert polling.begin(0.15, serving=True, pages=2) is None
    assert polling.begin(0.22, serving=True, pages=2) == "page"
    polling.end(0.32, well=True)
    assert polling.begin(0.6, serving=True, pages=2) is None


def test_a_clock_that_goes_back_stops_nothing() -> None:
    polling = Polling(1.0)
    polling.begin(1000.0, serving=True, pages=1)
    polling.end(1000.1, well=True)
    assert polling.begin(500.0, serving=True, pages=1) == "page"
