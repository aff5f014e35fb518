"""The laws of the controller: killed anywhere, and whatever people do, it ends where it should."""

from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor import names
from tests.rollout_world import BAD, GOOD, MODEL, QUICK, World


@settings(max_examples=60, deadline=None)
@given(kills=st.lists(st.integers(1, 25), max_size=12), bad=st.booleans(), gate=st.booleans())
def test_a_controller_killed_anywhere_ends_where_one_that_lives_ends(kills: list[int], *, bad: bool, gate: bool) -> None:
    failing = BAD if bad else GOOD
    gates = ["2"] if gate else []
    whole = World(failing, bad_gates=gates)
    whole.registry.set_alias(MODEL, names.CHAMPION, "2")
    whole.turns(80)
    world = World(failing, bad_gates=gates)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    for kill in kills:
        world.fate.left = kill
        world.turns(6)
    world.fate.left = None
    world.turns(80)
    assert world.end() == whole.end()
    assert [entry.seq for entry in world.ledger.rows] == list(range(1, len(world.ledger.rows) + 1))
    assert len({entry.key for entry in world.ledger.rows}) == len(world.ledger.rows)
    epochs = [state.epoch for state in world.states]
    assert epochs == sorted(epochs)


MOVES = st.tuples(st.sampled_from(["champion", "challenger", "none", "pause", "resume", "traffic", "quiet"]), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(moves=st.lists(MOVES, max_size=8), pauses=st.lists(st.integers(1, 8), min_size=8, max_size=8))
def test_whatever_people_do_the_end_is_what_they_asked_for_last(moves: list[tuple[str, int]], pauses: list[int]) -> None:
    world = World({})
    for (what, version), pause in zip(moves, pauses, strict=False):
        _move(world, what, str(version))
        world.turns(pause)
    for tag in (names.TAG_CONTROL, names.TAG_TRAFFIC):
        world.registry.set_tag(MODEL, tag, None)
    world.registry.set_tag(MODEL, names.TAG_ROLLOUT, QUICK)
    world.registry.set_alias(MODEL, names.CHAMPION, "3")
    world.turns(90)
    assert (world.stable, world.champion) == ("3", "3")
    assert world.gateways.epochs == sorted(world.gateways.epochs)


def _move(world: World, what: str, version: str) -> None:
    if what in {"champion", "challenger"}:
        world.registry.set_alias(MODEL, what, version)
    elif what == "none":
        world.registry.delete_alias(MODEL, names.CHAMPION)
    elif what in {"pause", "resume"}:
        world.registry.set_tag(MODEL, names.TAG_CONTROL, "pause" if what == "pause" else None)
    elif what == "traffic":
        world.registry.set_tag(MODEL, names.TAG_ROLLOUT, None)
        world.registry.set_tag(MODEL, names.TAG_TRAFFIC, "champion=80,challenger=20")
