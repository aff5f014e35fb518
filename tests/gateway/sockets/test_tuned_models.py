"""What models' tags ask for, and packed bodies, by every way in: rows together, kept answers, gzip and zstd."""

import gzip
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from backports import zstd

from .conftest import COLUMNS, MAX_BODY, Answer, Gateway, read_answer

pytestmark = pytest.mark.slow

Header = tuple[str, str]
ROW = [14.0, 19.0, 600.0]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "zstd": zstd.compress,
}


def table(amount: float) -> dict[str, Any]:
    return {"dataframe_split": {"columns": ["amount"], "data": [[amount]]}}


def cancer(rows: int = 1) -> bytes:
    return json.dumps({"dataframe_split": {"columns": list(COLUMNS), "data": [ROW] * rows}}).encode()


def doubled(answer: Answer) -> list[float]:
    return [row["doubled"] for row in answer.json()["predictions"]]


def kept(answer: Answer) -> str | None:
    return answer.headers.get("x-stagedoor-cache")


def predicted(gateway: Gateway, amounts: list[float]) -> list[int]:
    """Rows of each prediction for callers who asked for one of `amounts`, as counted.py has told of them."""
    told = [json.loads(line) for line in re.findall(rb"counted (\[.*\])", gateway.log.read_bytes())]
    return [len(rows) for rows in told if set(rows) <= set(amounts)]


def unheard_of(number: int) -> list[float]:
    """Amounts that no test has asked for before."""
    return [float(time.time_ns() // 1000 % 10**9 + n) for n in range(number)]


def counters(gateway: Gateway, model: str) -> dict[str, float]:
    """Outcomes and assignments of a model; the workers write them out within a moment."""
    time.sleep(0.4)
    found: dict[str, float] = {}
    for line in gateway.get("/metrics").body.decode().splitlines():
        name, _, rest = line.partition("{")
        labels, _, value = rest.rpartition("} ")
        if f'model="{model}"' in labels and name in {"stagedoor_predictions_total", "stagedoor_assigned_total"}:
            outcome = re.search(r'outcome="(\w+)"', labels)
            key = outcome[1] if outcome else "assigned"
            found[key] = found.get(key, 0) + float(value)
    return found


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}


@contextmanager
def one_worker(gateway: Gateway) -> Iterator[Any]:
    """Requests over one connection, and so to one worker: each has its own kept answers."""
    token = gateway.token()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:

        def post(path: str, body: Any, *headers: Header) -> Answer:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            given = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"), *headers]
            lines = [f"POST {path} HTTP/1.1", "Host: gateway", f"Content-Length: {len(data)}"]
            lines += [
                f"{name}: {value}" for name, value in given if all(name != h for h, _ in headers) or (name, value) in headers
            ]
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
            return read_answer(connection, time.monotonic())

        yield post


# --- several callers at once ---


def at_once(gateway: Gateway, model: str, amounts: list[float]) -> list[Answer]:
    with ThreadPoolExecutor(len(amounts)) as callers:
        return list(callers.map(lambda amount: gateway.post(f"/models/{model}/invocations", table(amount)), amounts))


def test_many_callers_of_a_declared_pyfunc_share_predictions_and_a_poison_row_fails_alone(gateway: Gateway) -> None:
    before, amounts = counters(gateway, "together"), unheard_of(24)
    amounts[7] = 666.0
    answers = at_once(gateway, "together", amounts)
    failed = [amount for amount, answer in zip(amounts, answers, strict=True) if answer.status != 200]
    assert failed == [666.0], [answer.body for answer in answers]
    assert answers[7].code == "model_error"
    good = [(amount, answer) for amount, answer in zip(amounts, answers, strict=True) if amount != 666]
    assert all(doubled(answer) == [2 * amount] for amount, answer in good)
    batches = predicted(gateway, amounts)
    assert len(batches) < 24
    assert 1 < max(batches) <= 8
    assert grown(before, counters(gateway, "together")) == {"assigned": 24, "ok": 23, "model_error": 1}


def test_where_the_tag_is_off_each_caller_is_predicted_for_alone(gateway: Gateway) -> None:
    amounts = unheard_of(8)
    answers = at_once(gateway, "apart", amounts)
    assert [doubled(answer) for answer in answers] == [[2 * amount] for amount in amounts]
    assert predicted(gateway, amounts) == [1] * 8


def test_many_callers_of_a_slow_network_each_get_their_own_answer(gateway: Gateway) -> None:
    def ask(number: int) -> Any:
        answer = gateway.post("/models/network/invocations", {"inputs": [[number], [-number]]})
        return answer.json()["predictions"]["Y"]

    with ThreadPoolExecutor(24) as callers:
        found = list(callers.map(ask, range(24)))
    assert found == [[[2.0 * n], [-2.0 * n]] for n in range(24)]


def test_who_hangs_up_or_runs_out_of_time_is_counted_once(gateway: Gateway) -> None:
    before = counters(gateway, "together")
    body = json.dumps(table(668.0)).encode()
    head = (
        f"POST /models/together/invocations HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {gateway.token()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(head + body)
        time.sleep(0.2)
    late = gateway.post("/models/together/invocations", table(668.0))
    assert late.status in {503, 504}, "503 where it stood behind the other one and never had its turn"
    seen: dict[str, float] = {}
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and seen.get("assigned") != 2:
        seen = grown(before, counters(gateway, "together"))
    assert seen == ({"assigned": 2, "timeout": 2} if late.status == 504 else {"assigned": 2, "timeout": 1, "overload": 1})


# --- answers that are known ---


def test_the_same_question_is_answered_from_what_is_kept_by_any_protocol(gateway: Gateway) -> None:
    (amount,) = unheard_of(1)
    path, v2 = "/models/kept/invocations", "/v2/models/kept/infer"
    with one_worker(gateway) as post:
        first = post(path, table(amount))
        again = [
            post(path, table(amount)),
            post(path, {"dataframe_records": [{"amount": amount}]}),
            post(path, gzip.compress(json.dumps(table(amount)).encode()), ("Content-Encoding", "gzip")),
        ]
        tensor = post(v2, {"inputs": [{"name": "amount", "shape": [1], "datatype": "FP64", "data": [amount]}]})
    assert [kept(answer) for answer in (first, *again, tensor)] == ["miss", "hit", "hit", "hit", "hit"], tensor.body
    assert {answer.body for answer in again} == {first.body}
    assert tensor.json()["outputs"][0]["data"] == [2 * amount]
    assert predicted(gateway, [amount]) == [1]
    time.sleep(0.4)
    metrics = gateway.get("/metrics").body.decode()
    assert re.search(r'stagedoor_cache_requests_total{model="kept",result="hit",version="1"} [1-9]', metrics)
    assert re.search(r'stagedoor_cache_bytes{model="kept"} [1-9]', metrics)


def test_a_kept_answer_is_of_its_time_and_of_callers_with_the_same_rights(gateway: Gateway) -> None:
    (amount,) = unheard_of(1)
    other = ("Authorization", f"Bearer {gateway.token('predictor', models=('kept',))}")
    with one_worker(gateway) as post:
        assert kept(post("/models/kept/invocations", table(amount))) == "miss"
        assert kept(post("/models/kept/invocations", table(amount), other)) == "miss"
        assert kept(post("/models/kept/invocations", table(amount), other)) == "hit"
        assert kept(post("/models/kept-briefly/invocations", table(amount))) == "miss"
        time.sleep(0.15)
        assert kept(post("/models/kept-briefly/invocations", table(amount))) == "miss"


def test_callers_of_one_question_get_one_answer(gateway: Gateway) -> None:
    (amount,) = unheard_of(1)
    answers = at_once(gateway, "kept", [amount] * 12)
    assert [doubled(answer) for answer in answers] == [[2 * amount]] * 12
    assert {kept(answer) for answer in answers} <= {"miss", "joined", "hit"}
    assert 1 <= len(predicted(gateway, [amount])) <= 2, "once in each worker"


# --- packed bodies ---


@pytest.mark.parametrize("rows", [1, 900], ids=["small", "large"])
@pytest.mark.parametrize("coding", PACK)
def test_packed_bodies_are_as_good_as_plain_ones(gateway: Gateway, coding: str, rows: int) -> None:
    plain = gateway.post("/models/cancer/invocations", cancer(rows))
    packed = PACK[coding](cancer(rows))
    encoded = ("Content-Encoding", coding)
    answer = gateway.post("/models/cancer/invocations", packed, headers=(encoded,))
    assert (plain.status, answer.status) == (200, 200), answer.body
    assert answer.body == plain.body
    chunked = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, packed[:9], len(packed) - 9, packed[9:])
    again = gateway.post("/models/cancer/invocations", chunked, headers=(encoded, ("Transfer-Encoding", "chunked")))
    assert again.body == plain.body


@pytest.mark.parametrize("size", [MAX_BODY + 1, 60 * MAX_BODY], ids=["just too large", "sixty times"])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_what_unpacks_to_more_than_the_limit_is_refused(gateway: Gateway, coding: str, size: int) -> None:
    packed = PACK[coding](b" " * size)
    assert len(packed) < MAX_BODY / 10
    answer = gateway.post("/models/cancer/invocations", packed, headers=(("Content-Encoding", coding),))
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert gateway.get("/livez").status == 200


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("rows", [1, 900], ids=["small", "large"])
def test_damaged_bodies_are_refused(gateway: Gateway, coding: str, rows: int) -> None:
    packed = PACK[coding](cancer(rows))
    for damaged in (packed[:-6], packed + b"more", cancer(rows), b""):
        answer = gateway.post("/models/cancer/invocations", damaged, headers=(("Content-Encoding", coding),))
        assert (answer.status, answer.code) == (400, "body_malformed"), damaged[-10:]


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, zstd", "gzip,gzip", "nonsense"])
def test_other_codings_are_refused_with_those_that_are_taken(gateway: Gateway, coding: str) -> None:
    answer = gateway.post("/models/cancer/invocations", cancer(), headers=(("Content-Encoding", coding),))
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip, zstd")


@pytest.mark.parametrize(
    "listed", [("gzip", "gzip"), ("gzip", "zstd"), ("identity", "gzip"), ("gzip, zstd",)], ids=" and ".join
)
def test_several_codings_are_refused_however_they_are_listed(gateway: Gateway, listed: tuple[str, ...]) -> None:
    headers = tuple(("Content-Encoding", codings) for codings in listed)
    answer = gateway.post("/models/cancer/invocations", gzip.compress(cancer()), headers=headers)
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip, zstd")


def test_no_coding_may_be_named(gateway: Gateway) -> None:
    assert gateway.post("/models/cancer/invocations", cancer(), headers=(("Content-Encoding", "identity"),)).status == 200
