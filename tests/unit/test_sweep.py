import pytest

from stagedoor.errors import RegistryGarbled
from stagedoor.registry.sweep import MAX_PAGES, Sweep

KNOWN = frozenset("abcd")


def test_what_is_missing_from_a_list_of_one_page_is_gone_at_once() -> None:
    sweep, gone = Sweep().after(set("ab"), "", KNOWN)
    assert gone == set("cd")
    assert (sweep.page, sweep.pages) == ("", 1)


def test_what_is_missing_from_several_pages_is_gone_after_a_second_sweep() -> None:
    sweep = Sweep()
    for names, following, expected in (("a", "2", ""), ("b", "", ""), ("a", "2", ""), ("bc", "", "d")):
        sweep, gone = sweep.after(set(names), following, KNOWN)
        assert gone == set(expected)


def test_pages_are_counted_as_far_as_they_are_known() -> None:
    sweep, counts = Sweep(), []
    for following in ("2", "3", "", "2", "", "2"):
        sweep, _ = sweep.after(set(), following, set())
        counts.append(sweep.pages)
    assert counts == [2, 3, 3, 3, 2, 2]


@pytest.mark.parametrize("again", ["2", "3"])
def test_pages_in_a_circle_are_refused(again: str) -> None:
    sweep, _ = Sweep().after(set(), "2", set())
    sweep, _ = sweep.after(set(), "3", set())
    with pytest.raises(RegistryGarbled):
        sweep.after(set(), again, set())


def test_pages_without_end_are_refused() -> None:
    sweep = Sweep()
    for number in range(1, MAX_PAGES):
        sweep, _ = sweep.after(set(), str(number), set())
    with pytest.raises(RegistryGarbled):
        sweep.after(set(), "more", set())
