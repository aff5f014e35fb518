"""What a good caller gets, the same through every protocol and by either way in."""

import json
import os
import re
import signal
import socket
import struct
import threading
import time
from typing import Any

import numpy as np
import pytest

from .conftest import COLUMNS, Gateway, of_the_lane, read_answer

pytestmark = pytest.mark.slow

ROW = [14.0, 19.0, 600.0]
SPLIT = {"dataframe_split": {"columns": list(COLUMNS), "data": [ROW]}}
RECORDS = {"dataframe_records": [dict(zip(COLUMNS, ROW, strict=True))]}
V2 = {"inputs": [{"name": c, "shape": [1], "datatype": "FP64", "data": [v]} for c, v in zip(COLUMNS, ROW, strict=True)]}


def test_each_form_of_the_scoring_protocol_gives_one_answer(gateway: Gateway) -> None:
    csv = ",".join(COLUMNS) + "\n" + ",".join(map(str, ROW)) + "\n"
    forms = [
        gateway.post("/models/cancer/invocations", SPLIT),
        gateway.post("/models/cancer/invocations", RECORDS),
        gateway.post("/models/cancer/invocations", {"instances": [dict(zip(COLUMNS, ROW, strict=True))]}),
        gateway.post("/models/cancer/invocations", {"inputs": {c: [v] for c, v in zip(COLUMNS, ROW, strict=True)}}),
        gateway.post("/models/cancer/invocations", csv.encode(), content_type="text/csv"),
        gateway.post("/models/cancer/invocations", _parquet(), content_type="application/vnd.apache.parquet"),
    ]
    assert [answer.status for answer in forms] == [200] * len(forms), [answer.body for answer in forms]
    assert len({answer.body for answer in forms}) == 1


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({c: [v] for c, v in zip(COLUMNS, ROW, strict=True)}), sink)
    return sink.getvalue().to_pybytes()


def test_three_protocols_agree(gateway: Gateway) -> None:
    (record,) = gateway.post("/models/cancer/invocations", SPLIT).json()["predictions"]
    tensors = {o["name"]: o for o in gateway.post("/v2/models/cancer/infer", V2).json()["outputs"]}
    simple = gateway.post("/predict", {"data": [dict(zip(COLUMNS, ROW, strict=True))], "metadata": {"case": 1}}).json()
    assert tensors["label"]["data"] == [record["label"]] == simple["predictions"]
    assert tensors["probabilities"]["data"] == pytest.approx(record["probabilities"], abs=1e-7)
    assert simple["confidence"] == pytest.approx([max(record["probabilities"])], abs=1e-7)
    assert simple["metadata"]["case"] == 1
    assert simple["processing_time_ms"] >= 0


def test_binary_tensors_go_both_ways(gateway: Gateway) -> None:
    row = np.arange(64, dtype="<f4").reshape(1, 64)
    name = gateway.get("/v2/models/digits", gateway.token()).json()["inputs"][0]["name"]
    head = json.dumps(
        {
            "inputs": [{"name": name, "shape": [1, 64], "datatype": "FP32", "parameters": {"binary_data_size": 256}}],
            "outputs": [{"name": "label", "parameters": {"binary_data": True}}],
        }
    ).encode()
    answer = gateway.post(
        "/v2/models/digits/infer",
        head + row.tobytes(),
        content_type="application/octet-stream",
        headers=(("Inference-Header-Content-Length", str(len(head))),),
    )
    assert answer.status == 200, answer.body
    size = int(answer.headers["inference-header-content-length"])
    told = json.loads(answer.body[:size])
    plain = gateway.post("/models/digits/invocations", {"inputs": row.tolist()}).json()["predictions"]
    assert told["outputs"][0]["parameters"]["binary_data_size"] == 8
    assert struct.unpack("<q", answer.body[size:])[0] == plain["label"][0]


def test_the_answer_names_version_arm_epoch_and_request(gateway: Gateway) -> None:
    answer = gateway.post("/models/cancer/invocations", SPLIT, headers=(("X-Request-Id", "mine-1"),))
    named = ("x-request-id", "x-model-name", "x-model-version", "x-model-arm", "x-route-epoch")
    assert {k: answer.headers[k] for k in named} == {
        "x-request-id": "mine-1", "x-model-name": "cancer", "x-model-version": "1", "x-model-arm": "champion",
        "x-route-epoch": "3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ref", "version"), [("split@challenger", "2"), ("split/2", "2"), ("split/1", "1"), ("split/Production", "1")]
)
def test_aliases_versions_and_stages_can_be_named(gateway: Gateway, ref: str, version: str) -> None:
    answer = gateway.post(f"/models/{ref}/invocations", SPLIT)
    assert (answer.status, answer.headers["x-model-version"]) == (200, version)


def test_a_split_reaches_both_arms(gateway: Gateway) -> None:
    versions = [gateway.post("/models/split/invocations", SPLIT).headers["x-model-version"] for _ in range(60)]
    assert 10 < versions.count("2") < 50  # a fair coin leaves this range once in ten million


def test_a_sticky_caller_gets_one_arm_in_every_worker(gateway: Gateway) -> None:
    for user in ("ann", "bob", "eve"):
        header = (("X-User-Id", user),)
        seen = {gateway.post("/models/sticky/invocations", SPLIT, headers=header).headers["x-model-version"] for _ in range(15)}
        assert len(seen) == 1


def test_a_chunked_body_is_as_good(gateway: Gateway) -> None:
    data = json.dumps(SPLIT).encode()
    chunked = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (10, data[:10], len(data) - 10, data[10:])
    assert gateway.post("/models/cancer/invocations", chunked, headers=(("Transfer-Encoding", "chunked"),)).status == 200


def test_one_connection_serves_many_requests(gateway: Gateway) -> None:
    data = json.dumps(SPLIT).encode()
    request = (
        f"POST /models/cancer/invocations HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {gateway.token()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    ).encode() + data
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        for _ in range(5):
            connection.sendall(request)
            assert read_answer(connection, time.monotonic()).status == 200


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/health", "/metrics", "/openapi.json", "/docs", "/v2", "/v2/health/live", "/v2/health/ready"]
)
def test_pages_that_need_no_token_answer(gateway: Gateway, path: str) -> None:
    answer = gateway.get(path)
    assert answer.status == 200, answer.body
    assert answer.headers["x-request-id"]


def test_the_metrics_count_what_was_answered(gateway: Gateway) -> None:
    def count() -> float:
        time.sleep(0.4)
        text = gateway.get("/metrics").body.decode()
        labels = 'stagedoor_predictions_total{arm="challenger",epoch="",model="split",outcome="ok",version="2"}'
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(labels))

    before = count()
    for _ in range(5):
        gateway.post("/models/split@challenger/invocations", SPLIT)
    assert count() == before + 5


def test_the_log_has_one_line_for_each_prediction(gateway: Gateway) -> None:
    request_id = f"log-{time.time_ns()}"
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    gateway.post("/models/cancer/invocations", SPLIT, headers=(("X-Request-Id", request_id), ("traceparent", trace)))
    time.sleep(0.5)
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if request_id in line]
    (line,) = [line for line in lines if line["event"] == "prediction"]
    expected = {
        "model": "cancer", "version": "1", "arm": "champion", "epoch": 3, "subject": "ann", "protocol": "mlflow", "rows": 1,
        "status": 200, "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }  # fmt: skip
    assert {k: line[k] for k in expected} == expected


@of_the_lane  # gunicorn's own workers close a connection without saying so first
def test_a_reload_under_load_drops_no_request(gateway: Gateway) -> None:
    data = json.dumps(SPLIT).encode()
    request = (
        f"POST /models/cancer/invocations HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {gateway.token()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    ).encode() + data
    results: list[Any] = []
    ending = threading.Event()
    before = gateway.workers()

    def keep_asking() -> None:
        connection: socket.socket | None = None
        while not ending.is_set():
            try:
                connection = connection or socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
                connection.sendall(request)
                answer = read_answer(connection, time.monotonic())
                results.append(answer.status)
                if answer.headers.get("connection") == "close":
                    connection.close()
                    connection = None
            except OSError as error:
                results.append(repr(error))
                connection = None
            time.sleep(0.01)
        if connection is not None:
            connection.close()

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    time.sleep(0.5)
    os.kill(gateway.pid, signal.SIGHUP)
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and (gateway.workers() & before or len(gateway.workers()) != 2):
        time.sleep(0.1)
    time.sleep(1)
    ending.set()
    for asker in askers:
        asker.join(30)
    assert not gateway.workers() & before
    assert len(results) > 100
    assert set(results) == {200}


@of_the_lane  # gunicorn's own workers lose or hold up what comes early
@pytest.mark.parametrize("pieces", [1, 3, 40])
def test_pipelined_requests_are_answered_in_order(gateway: Gateway, pieces: int) -> None:
    token = gateway.token()
    raw = b""
    for number in range(6):
        data = json.dumps(SPLIT).encode()
        raw += (
            f"POST /models/cancer/invocations HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n"
            f"X-Request-Id: n{number}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        ).encode() + data
        raw += f"GET /livez HTTP/1.1\r\nHost: g\r\nX-Request-Id: l{number}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        size = len(raw) // pieces + 1
        for start in range(0, len(raw), size):
            connection.sendall(raw[start : start + size])
        text = b""
        while text.count(b"HTTP/1.1 200") < 12:
            chunk = connection.recv(65536)
            assert chunk, text[-500:]
            text += chunk
    order = re.findall(rb"x-request-id: (\w+)", text, re.IGNORECASE)
    assert order == [f"{kind}{number}".encode() for number in range(6) for kind in "nl"]


@of_the_lane  # gunicorn's own workers have other rules for connections without a request
def test_a_connection_that_says_nothing_is_closed(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        started = time.monotonic()
        assert connection.recv(1) == b""
        assert time.monotonic() - started > 5
