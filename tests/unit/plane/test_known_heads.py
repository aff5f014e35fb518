"""A head that comes again on its connection: what is remembered of it, and for how long."""

from dataclasses import replace

import pytest

from serving.exchange import Exchange, Head
from stagedoor.domain.traffic import Arm
from stagedoor.errors import BodyTooLarge

from .conftest import ONLY, Stage, twice, version


def head(stage: Stage, **headers: str) -> Head:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Head(f"/models/{stage.name}/invocations", "", {"content-type": "application/json"} | given)


def test_who_asks_is_found_out_once_for_a_head_that_stays_the_same(stage: Stage) -> None:
    stage.set(ONLY, version("1", twice))
    same = head(stage, authorization="predictor")
    exchanges = [Exchange(same) for _ in range(3)]
    for exchange in exchanges:
        stage.plane.admit(exchange)
    assert stage.door.asked == 1
    assert len({exchange.request_id for exchange in exchanges}) == 3, "each request has an id of its own"
    assert {exchange.principal.subject for exchange in exchanges if exchange.principal} == {"ann"}


def test_a_head_is_looked_at_anew_when_its_token_no_longer_holds(stage: Stage) -> None:
    stage.set(ONLY, version("1", twice))
    same = head(stage)
    stage.plane.admit(Exchange(same))
    stage.door.generation += 1
    stage.plane.admit(Exchange(same))
    assert stage.door.asked == 2


def test_a_caller_who_names_its_requests_keeps_the_name(stage: Stage) -> None:
    stage.set(ONLY, version("1", twice))
    same = head(stage, x_request_id="mine")
    exchanges = [Exchange(same) for _ in range(2)]
    for exchange in exchanges:
        stage.plane.admit(exchange)
    assert [exchange.request_id for exchange in exchanges] == ["mine", "mine"]


def test_a_head_that_announces_too_much_is_refused_each_time(stage: Stage) -> None:
    stage.set(ONLY, version("1", twice))
    same = head(stage, content_length=str(stage.plane.max_body_bytes + 1))
    for _ in range(2):
        with pytest.raises(BodyTooLarge):
            stage.plane.admit(Exchange(same))


def test_a_known_head_follows_the_route(stage: Stage) -> None:
    stage.set(ONLY, version("1", twice))
    same = head(stage)
    assert stage.plane.admit(Exchange(same)).choice.version == "1"
    stage.set(replace(ONLY, arms=(Arm("champion", "2", 10_000),)), version("2", twice), name=stage.name)
    assert stage.plane.admit(Exchange(same)).choice.version == "2"
