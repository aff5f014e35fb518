"""A version that has no room for one more: those refused cost next to nothing, and count all the same."""

import asyncio
import json
from typing import Any

import pytest

from serving.cores import part_of, usable_cores
from serving.exchange import Head
from serving.http import Reply
from serving.lane.asgi import Lane
from serving.loading.version import Version
from serving.solo import Solos
from stagedoor import names
from stagedoor.domain.traffic import Route
from stagedoor.domain.tuning import Tuning

from .conftest import ONLY, Crowd, Gate, Stage, adds_up, headers_of, on_their_way, on_trial, twice, until, version

ALONE = Tuning(batch=0)
PLACES = 6
"""Two threads, and four who wait for one."""


async def _through(stage: Stage, path: str, **headers: str) -> Reply:
    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps({"inputs": [[1.0]]}).encode(), "more_body": False}

    lane = Lane(stage.plane, None, lambda: None, lambda: None)  # type: ignore[arg-type]
    said = await lane.reply_to(Head(path, "", {"content-type": "application/json", **headers}), receive)
    assert said is not None
    return said[0]


def ask_by_lane(stage: Stage, path: str = "", **headers: str) -> Reply:
    return asyncio.run(_through(stage, path or f"/models/{stage.name}/invocations", **headers))


@pytest.fixture
def full(patient: Stage, crowd: Crowd, gate: Gate) -> Stage:
    """One in hand or more, and as many in the queue as may be."""
    patient.set(ONLY, version("1", gate, quick=False), tuning=ALONE)
    for _ in range(PLACES):
        crowd.ask()
    one = patient.view.models[patient.name].loaded["1"]
    assert until(lambda: on_their_way(patient, one, ALONE) == PLACES)
    return patient


@pytest.mark.parametrize("request_id", ["abc123", 'quo"ted'])
@pytest.mark.parametrize("path", ["/models/{}/invocations", "/v2/models/{}/infer"])
def test_the_answer_is_the_same_as_at_full_length(full: Stage, request_id: str, path: str) -> None:
    path = path.format(full.name)
    short, long = ask_by_lane(full, path, **{"x-request-id": request_id}), full.send(path, b"{}", x_request_id=request_id)
    assert (short.status, headers_of(short)["Retry-After"], headers_of(short)[names.HEADER_MODEL_VERSION]) == (503, "1", "1")
    assert short.headers == long.headers
    assert short.body == long.body


def test_it_counts_as_the_versions_and_has_no_line(full: Stage, gate: Gate) -> None:
    for _ in range(3):
        assert ask_by_lane(full).status == 503
    gate.opened.set()
    assert until(lambda: full.outcomes() == {"ok": PLACES, "overload": 3})
    assert full.count(names.METRIC_ERRORS, code="overloaded") == 3
    assert adds_up(full)
    assert {line["status"] for line in full.lines()} == {200}


def test_once_there_is_room_the_next_one_is_answered(full: Stage, gate: Gate) -> None:
    assert ask_by_lane(full).status == 503
    gate.opened.set()
    assert until(lambda: ask_by_lane(full).status == 200)


@pytest.mark.parametrize(("route", "status"), [(on_trial(), 200), (on_trial(shield=False), 503)], ids=["shielded", "alone"])
def test_a_version_on_trial_is_judged_by_it_so_it_goes_the_long_way(
    patient: Stage, crowd: Crowd, gate: Gate, route: Route, status: int
) -> None:
    one = version("2", gate, quick=False)
    patient.set(route, version("1", twice), one, tuning=ALONE)
    places = 4 if route.shield else PLACES
    asked = [crowd.ask() for _ in range(places)]
    assert until(lambda: on_their_way(patient, one, ALONE, trial=route.shield) == places)
    assert ask_by_lane(patient).status == status
    gate.opened.set()
    assert {reply.result(20).status for reply in asked} == {200}
    assert patient.outcomes(version="2") == {"ok": places, "overload": 1}
    assert len(patient.lines()) == places + 1


def test_predictions_that_need_cores_run_side_by_side_on_this_workers_part_of_them() -> None:
    class Room:
        places = 100

        def __init__(self) -> None:
            self.calls: list[Any] = []

        def submit(self, work: Any) -> None:
            self.calls.append(work)

    def most(one: Version) -> int:
        room = Room()
        solos = Solos(room, 1.0)  # type: ignore[arg-type]
        solos.cores = 4
        running = found = 0

        def work() -> None:
            nonlocal running, found
            running += 1
            found = max(found, running)
            while room.calls:
                room.calls.pop()()
            running -= 1

        for _ in range(9):
            solos.of(one).submit(work, work)
        while room.calls:
            room.calls.pop()()
        return found

    assert most(version("1", twice, cores=1)) == 4
    assert most(version("1", twice, cores=3)) == 1
    assert most(version("1", twice, cores=99)) == 1
    assert most(version("1", twice)) == 9, "it may wait for something else"


def test_a_workers_part_of_the_cores_is_never_none() -> None:
    assert part_of(1) == usable_cores() == part_of(0)
    assert part_of(10_000) == 1
