"""How rollouts go, one story each, in a small world."""

from typing import Any

import pytest

from stagedoor import names
from stagedoor.domain.rollout import Findings, plan, read_intent
from stagedoor.domain.rollout.steps import SetRoute
from stagedoor.domain.route_tag import read_route
from tests.rollout_world import BAD, GOOD, MODEL, QUICK, World


def test_a_good_version_goes_through_all_steps_and_is_promoted() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(60)
    assert world.end() == ("2", "2", "promoted", "promoted")
    assert world.kinds[-4:] == ["started", "traffic_started", "advanced", "promoted"]
    shares = [state.route.arms[-1].weight for state in world.states if state.route and len(state.route.arms) > 1]
    assert shares == [1000, 5000]


def test_a_harmful_version_is_rolled_back_and_the_alias_goes_back() -> None:
    world = World(BAD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(30)
    assert world.end() == ("1", "1", "rolled_back", "rolled back")
    assert [arm.version for arm in read_route(world.registry.model(MODEL).tags[names.TAG_ROUTE]).arms] == ["1"]


def test_a_version_that_only_lacks_the_least_evidence_for_a_rollback_gets_no_larger_share() -> None:
    world = World(BAD, rollout="canary steps=10,50 interval=2s outcomes=5 delta=5 min_outcomes=80")
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(60)
    assert world.end() == ("1", "1", "rolled_back", "rolled back")
    assert "advanced" not in world.kinds


def test_a_version_that_fails_a_gate_gets_no_request_and_the_alias_goes_back() -> None:
    world = World(GOOD, bad_gates=["2"])
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(10)
    assert world.end() == ("1", "1", "refused", "refused")
    assert world.gateways.served == {"1"}
    assert "one answer is NaN" in world.verdict("2")


def test_naming_a_refused_version_again_is_a_new_wish() -> None:
    world = World(GOOD, bad_gates=["2"])
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(10)
    world.bad_gates = ()
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(60)
    assert world.stable == "2"


def test_moving_the_alias_back_ends_a_canary_at_once() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(4)
    assert world.states[-1].rollout is not None
    world.registry.set_alias(MODEL, names.CHAMPION, "1")
    world.turn()
    assert world.end()[:3] == ("1", "1", "aborted")


def test_a_person_who_moves_the_alias_in_the_same_moment_is_never_overwritten() -> None:
    world = World(BAD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    put_back = world.registry.move_alias

    def a_person_is_quicker(name: str, alias: str, version: str | None, **how: Any) -> None:
        world.registry.set_alias(MODEL, names.CHAMPION, "3")
        put_back(name, alias, version, **how)

    world.registry.move_alias = a_person_is_quicker  # type: ignore[method-assign]
    world.turns(60)
    assert "rolled_back" in world.kinds
    assert (world.champion, world.stable) == ("3", "3")


def test_a_former_version_returns_at_once_without_a_canary() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(60)
    world.registry.set_alias(MODEL, names.CHAMPION, "1")
    world.turn()
    assert (world.stable, world.kinds[-1]) == ("1", "returned")


def test_without_any_requests_a_canary_holds_and_says_what_it_waits_for() -> None:
    world = World(GOOD)
    world.gateways.rate = 0
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(50)
    assert world.stable == "1"
    assert world.board.read()[MODEL]["waiting_for"] == "20 more outcomes of version 2 in this step"


def test_without_evidence_nothing_is_promoted() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(3)
    world.gateways.silent = True
    world.turns(80)
    assert world.stable == "1"
    assert "evidence" in world.board.read()[MODEL]["waiting_for"]
    world.gateways.silent = False
    world.turns(60)
    assert world.stable == "2"


def test_a_dead_ledger_stops_promotions_but_not_a_rollback() -> None:
    world = World(BAD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(3)
    assert world.states[-1].rollout is not None
    world.ledger.broken = True
    world.turns(20)
    assert world.champion == "1"
    assert [arm.version for arm in read_route(world.registry.model(MODEL).tags[names.TAG_ROUTE]).arms] == ["1"]
    world.ledger.broken = False
    world.turns(5)
    assert world.end()[:3] == ("1", "1", "rolled_back")


def test_a_lost_ledger_keeps_serving_what_the_route_says() -> None:
    world = World(GOOD)
    epoch = world.states[-1].epoch
    world.ledger.rows.clear()
    world.controller = world.start()
    world.turns(3)
    assert (world.stable, world.kinds[0]) == ("1", "adopted")
    assert world.states[-1].epoch == epoch


def test_a_paused_canary_stays_where_it_is_and_is_still_rolled_back() -> None:
    world = World({"1": 0.01})
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(3)
    world.registry.set_tag(MODEL, names.TAG_CONTROL, "pause")
    world.turns(60)
    assert (world.stable, world.board.read()[MODEL]["phase"]) == ("1", "paused")
    world.gateways.failing = {"2": 0.9}
    world.turns(60)
    assert world.end()[:3] == ("1", "1", "rolled_back")


def test_promote_now_ends_a_canary_and_removes_its_own_tag() -> None:
    world = World(GOOD)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.turns(3)
    world.registry.set_tag(MODEL, names.TAG_CONTROL, "promote 2")
    world.turns(3)
    assert world.stable == "2"
    assert names.TAG_CONTROL not in world.registry.model(MODEL).tags


@pytest.mark.parametrize("rollout", ["blue-green bake=3s", "immediate", "rolling interval=1s bake=3s"])
def test_the_other_strategies_end_with_the_new_version_live(rollout: str) -> None:
    world = World(GOOD, rollout=rollout)
    world.registry.set_alias(MODEL, names.CHAMPION, "2")
    world.gateways.counts.clear()
    for _ in range(20):
        world.turn()
        state = world.states[-1]
        if state.rollout is not None and state.route is not None and state.route.rolling is not None:
            world.gateways.counts[state.epoch] = {names.ARM_CANDIDATE: [500, 0]}
    assert world.end()[:3] == ("2", "2", "promoted")


def test_a_split_by_hand_waits_for_the_gates_and_follows_the_tag() -> None:
    world = World(GOOD, bad_gates=["3"])
    world.registry.set_tag(MODEL, names.TAG_ROLLOUT, None)
    world.registry.set_alias(MODEL, names.CHALLENGER, "2")
    world.registry.set_tag(MODEL, names.TAG_TRAFFIC, "champion=70,challenger=30")
    world.turns(4)
    route = read_route(world.registry.model(MODEL).tags[names.TAG_ROUTE])
    assert [(arm.name, arm.version, arm.weight) for arm in route.arms] == [("champion", "1", 7000), ("challenger", "2", 3000)]
    assert route.watched
    world.registry.set_alias(MODEL, names.CHALLENGER, "3")
    world.turns(4)
    assert "3" not in world.gateways.served
    assert world.registry.model(MODEL).aliases[names.CHALLENGER] == "2"


def test_contradicting_tags_leave_everything_as_it_is_and_say_so() -> None:
    world = World(GOOD)
    world.registry.set_tag(MODEL, names.TAG_TRAFFIC, "champion=50,challenger=50")
    world.registry.set_alias(MODEL, names.CHALLENGER, "2")
    world.turns(5)
    assert world.stable == "1"
    assert any("contradict" in problem for problem in world.board.read()[MODEL]["problems"])


def test_a_drill_ends_with_the_fault_found_and_nothing_else_changed() -> None:
    world = World(GOOD)
    world.gateways.failing = {"1": 0.0}
    drill = f'{{"fault": "error", "rate": 0.5, "cohort": "c1", "until": {world.now + 60}, "by": "root"}}'
    world.registry.set_tag(MODEL, names.TAG_DRILL, drill)
    world.turn()
    epoch = world.states[-1].epoch
    assert world.states[-1].route.drill is not None  # type: ignore[union-attr]
    world.gateways.rate = 0
    world.gateways.counts[epoch] = {names.CHAMPION: [100, 0], names.ARM_CANDIDATE: [50, 50]}
    world.turns(3)
    assert (world.kinds[-1], world.stable, world.champion) == ("drill_ended", "1", "1")
    assert names.TAG_DRILL not in world.registry.model(MODEL).tags
    assert world.states[-1].route.drill is None  # type: ignore[union-attr]


def test_a_drill_finds_slow_answers_too() -> None:
    world = World(GOOD)
    drill = f'{{"fault": "latency", "rate": 0.5, "cohort": "c1", "until": {world.now + 60}, "by": "root"}}'
    world.registry.set_tag(MODEL, names.TAG_DRILL, drill)
    world.turn()
    state = world.states[-1]
    assert state.route is not None
    assert state.route.slow_seconds == pytest.approx(0.25)
    assert state.rollout is not None
    assert state.rollout.base.slow is not None


def test_the_alias_of_a_deleted_version_leaves_what_is_live_alone() -> None:
    world = World(GOOD)
    world.registry.delete_alias(MODEL, names.CHAMPION)
    world.turns(5)
    assert world.stable == "1"
    assert any("keeps serving" in problem for problem in world.board.read()[MODEL]["problems"])


def test_planning_twice_plans_the_same_and_a_followed_route_asks_for_nothing_more() -> None:
    world = World(GOOD)
    model = world.registry.model(MODEL)
    intent = read_intent(model, QUICK)
    state = world.states[-1]
    first = plan(intent, state, Findings(), 5_000.0, 60.0)
    assert first == plan(intent, state, Findings(), 5_000.0, 60.0)
    assert not [step for step in first.steps if isinstance(step, SetRoute)]
