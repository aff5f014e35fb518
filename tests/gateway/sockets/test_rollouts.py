"""What a caller and an operator see of a candidate that fails, by either way in."""

import json
import time
from typing import Any

import pytest

from .conftest import Answer, Gateway

pytestmark = pytest.mark.slow

MOODS = [
    ("raises", 666.0, "model_error"),
    ("answers NaN", 667.0, "invalid_output"),
    ("hangs", 668.0, "timeout"),
]


def amount(value: float) -> dict[str, Any]:
    return {"dataframe_split": {"columns": ["amount"], "data": [[value]]}}


def told(answer: Answer) -> tuple[int, str, str, str | None]:
    headers = answer.headers
    return answer.status, headers["x-model-version"], headers["x-model-arm"], headers.get("x-model-shielded-from")


def counted(gateway: Gateway, metric: str, **labels: str) -> float:
    time.sleep(0.3)
    wanted = {f'{name}="{value}"' for name, value in labels.items()}
    found = 0.0
    for line in gateway.get("/metrics").body.decode().splitlines():
        name, _, rest = line.partition("{")
        if name == metric and wanted <= set(rest.partition("}")[0].split(",")):
            found += float(line.rpartition(" ")[2])
    return found


@pytest.mark.parametrize(("value", "outcome"), [row[1:] for row in MOODS], ids=[row[0] for row in MOODS])
def test_a_candidates_failure_reaches_no_caller(gateway: Gateway, value: float, outcome: str) -> None:
    labels = {"model": "guarded", "version": "2", "arm": "candidate", "epoch": "3"}
    before = counted(gateway, "stagedoor_predictions_total", **labels, outcome=outcome)
    request_id = f"shielded-{time.time_ns()}"
    answer = gateway.post("/models/guarded/invocations", amount(value), headers=(("X-Request-Id", request_id),))
    assert told(answer) == (200, "1", "champion", "2")
    assert answer.json() == {"predictions": [{"doubled": value * 2}]}
    assert answer.seconds < 2
    assert counted(gateway, "stagedoor_predictions_total", **labels, outcome=outcome) == before + 1
    assert counted(gateway, "stagedoor_assigned_total", **labels) >= before + 1
    (line,) = [json.loads(line) for line in gateway.log.read_text().splitlines() if request_id in line]
    assert (line["version"], line["shielded_from"], line["shielded_outcome"], line["subject"]) == ("1", "2", outcome, "ann")
    assert line["bucket"] < 9_999


def test_a_candidate_that_does_well_answers_itself(gateway: Gateway) -> None:
    assert told(gateway.post("/models/guarded/invocations", amount(1.0))) == (200, "2", "candidate", None)


def test_a_quick_candidate_is_shielded_in_the_event_loop(gateway: Gateway) -> None:
    path = "/models/guarded-quick/invocations"
    assert told(gateway.post(path, {"inputs": [[4.0]]})) == (200, "2", "candidate", None)
    answer = gateway.post(path, {"inputs": [[-4.0]]})
    assert told(answer) == (200, "1", "champion", "2")
    assert answer.json() == {"predictions": {"Y": [[4.0]]}}


def test_over_the_open_inference_protocol_too_the_answer_names_its_version(gateway: Gateway) -> None:
    body = {"inputs": [{"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [-4.0]}]}
    answer = gateway.post("/v2/models/guarded-quick/infer", body)
    assert told(answer) == (200, "1", "champion", "2")
    assert answer.json()["model_version"] == "1"


def test_a_named_version_is_shielded_by_nobody(gateway: Gateway) -> None:
    answer = gateway.post("/models/guarded-quick/2/invocations", {"inputs": [[-4.0]]})
    assert (answer.status, answer.code) == (500, "invalid_output")


@pytest.mark.parametrize(("value", "outcome"), [(1.0, "agree"), (4.0, "disagree"), (-1.0, "invalid_output")])
def test_a_mirror_is_compared_and_never_seen(gateway: Gateway, value: float, outcome: str) -> None:
    labels = {"model": "mirrored", "version": "2", "epoch": "3", "outcome": outcome}
    before = counted(gateway, "stagedoor_shadow_predictions_total", **labels)
    answer = gateway.post("/models/mirrored/invocations", {"inputs": [[value]]})
    assert told(answer) == (200, "1", "champion", None)
    assert counted(gateway, "stagedoor_shadow_predictions_total", **labels) == before + 1
    assert counted(gateway, "stagedoor_assigned_total", model="mirrored", version="2") == 0
