"""Metrics and log lines, off the request path."""

import io
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
from prometheus_client import REGISTRY

from serving.recorder import SLICE, WRITE_SECONDS, Recorder
from serving.records import Record
from serving.request_log import MAX_WAITING
from serving.routing import Choice


def record(**fields: Any) -> Record:
    known = {
        "request_id": "r1",
        "at": 1_700_000_000.5,
        "status": 200,
        "seconds": 0.002,
        "outcome": "ok",
        "counted": fields.get("outcome", "ok"),
    }
    return Record(**(known | fields))


def choice(model: str) -> Choice:
    return Choice(model, "7", "champion", 3, None)


def lines_of(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_line_says_who_got_what_from_which_version() -> None:
    stream = io.BytesIO()
    recorder = Recorder(stream)
    recorder.add(record(choice=choice("lines"), bucket=42, subject="ann", protocol="mlflow", rows=2))
    recorder.flush()
    (line,) = lines_of(stream)
    assert line["timestamp"] == "2023-11-14T22:13:20.500Z"
    assert {k: line[k] for k in ("model", "version", "arm", "epoch", "bucket", "subject", "rows", "ms")} == {
        "model": "lines", "version": "7", "arm": "champion", "epoch": 3, "bucket": 42, "subject": "ann", "rows": 2, "ms": 2.0,
    }  # fmt: skip
    assert "cause" not in line


def test_outcomes_are_counted_by_version() -> None:
    recorder = Recorder(None)
    for outcome, code in (("ok", None), ("ok", None), ("model_error", "model_error")):
        recorder.add(record(choice=choice("counted"), outcome=outcome, code=code))
    recorder.flush()
    labels = {"model": "counted", "version": "7", "arm": "champion", "epoch": ""}
    assert value("stagedoor_predictions_total", outcome="ok", **labels) == 2
    assert value("stagedoor_predictions_total", outcome="model_error", **labels) == 1
    assert value("stagedoor_prediction_errors_total", model="counted", version="7", code="model_error") == 1
    assert value("stagedoor_prediction_duration_seconds_count", model="counted", version="7") == 3


def test_a_request_that_reached_no_version_counts_by_code_alone() -> None:
    before = value("stagedoor_rejected_requests_total", code="token_invalid")
    recorder = Recorder(None)
    recorder.add(record(status=401, outcome="client_error", code="token_invalid"))
    recorder.flush()
    assert value("stagedoor_rejected_requests_total", code="token_invalid") == before + 1


def test_the_oldest_lines_go_when_the_log_stands_still_and_are_counted_all_the_same() -> None:
    stream = io.BytesIO()
    recorder = Recorder(stream)
    lost_before = value("stagedoor_lost_records_total")
    for number in range(MAX_WAITING + 10):
        recorder.add(record(request_id=str(number), choice=choice("standing-log")))
    recorder.flush()
    counted = {"model": "standing-log", "version": "7", "arm": "champion", "epoch": "", "outcome": "ok"}
    assert value("stagedoor_predictions_total", **counted) == MAX_WAITING + 10
    kept = lines_of(stream)
    assert MAX_WAITING * 0.9 < len(kept) <= MAX_WAITING
    assert value("stagedoor_lost_records_total") - lost_before == MAX_WAITING + 10 - len(kept)
    assert kept[-1]["request_id"] == str(MAX_WAITING + 9)


class Standing(io.BytesIO):
    """A log that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def write(self, data: Any) -> int:
        assert self.let_go.wait(20)
        return super().write(data)


def test_a_log_that_stands_still_holds_up_neither_the_event_loop_nor_a_scrape() -> None:
    stream, later = Standing(), deque[Callable[[], None]]()
    recorder = Recorder(stream)
    recorder.count_in_loop(later.append)
    recorder.start()
    try:
        for _ in range(SLICE * 8):
            recorder.add(record(choice=choice("held-up")))
            while later:
                later.popleft()()
        recorder.catch_up()
        counted = {"model": "held-up", "version": "7", "arm": "champion", "epoch": "", "outcome": "ok"}
        assert value("stagedoor_predictions_total", **counted) == SLICE * 8
        assert stream.getvalue() == b""
    finally:
        stream.let_go.set()
        recorder.stop()
    assert len(lines_of(stream)) == SLICE * 8


def test_an_event_loop_counts_slice_by_slice_until_less_than_one_is_left() -> None:
    later = deque[Callable[[], None]]()
    recorder = Recorder(None)
    recorder.count_in_loop(later.append)
    for _ in range(SLICE * 2 + 3):
        recorder.add(record(choice=choice("slices")))
    labels = {"model": "slices", "version": "7", "arm": "champion", "epoch": "", "outcome": "ok"}
    gone_through = 0
    while later:
        later.popleft()()
        gone_through += 1
    assert gone_through == 2
    assert value("stagedoor_predictions_total", **labels) == SLICE, "the rest is added up, and written with what comes next"
    recorder.catch_up()
    assert value("stagedoor_predictions_total", **labels) == SLICE * 2 + 3


def test_a_loop_writes_what_is_no_evidence_by_the_clock_it_was_given() -> None:
    later, now = deque[Callable[[], None]](), [100.0]
    recorder = Recorder(None)
    recorder.count_in_loop(later.append, lambda: now[0])
    labels = {"model": "by-the-clock", "version": "7", "arm": "champion", "epoch": "", "outcome": "ok"}
    found = []
    for seconds in (0, WRITE_SECONDS * 0.9, WRITE_SECONDS * 0.2, 0):
        now[0] += seconds
        for _ in range(SLICE):
            recorder.add(record(choice=choice("by-the-clock")))
        later.popleft()()
        found.append(value("stagedoor_predictions_total", **labels))
    assert found == [SLICE, SLICE, SLICE * 3, SLICE * 3]


def test_evidence_is_written_with_its_slice() -> None:
    later = deque[Callable[[], None]]()
    recorder = Recorder(None)
    recorder.count_in_loop(later.append)
    for _ in range(SLICE * 2):
        recorder.add(record(choice=choice("watched"), epoch="3"))
    while later:
        later.popleft()()
    labels = {"model": "watched", "version": "7", "arm": "champion", "epoch": "3", "outcome": "ok"}
    assert value("stagedoor_predictions_total", **labels) == SLICE * 2


def test_what_a_loop_leaves_is_counted_when_requests_cease() -> None:
    recorder = Recorder(None)
    recorder.count_in_loop(deque[Callable[[], None]]().append)
    recorder.start()
    try:
        recorder.add(record(choice=choice("left-over")))
        labels = {"model": "left-over", "version": "7", "arm": "champion", "epoch": "", "outcome": "ok"}
        end = time.monotonic() + 20
        while value("stagedoor_predictions_total", **labels) < 1:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        recorder.stop()


def test_a_closed_log_does_not_stop_the_counting() -> None:
    stream = io.BytesIO()
    stream.close()
    recorder = Recorder(stream)
    recorder.add(record(choice=choice("closed-log")))
    recorder.flush()
    assert value("stagedoor_predictions_total", model="closed-log", version="7", arm="champion", epoch="", outcome="ok") == 1


def test_stopping_writes_what_is_left() -> None:
    stream = io.BytesIO()
    recorder = Recorder(stream)
    recorder.start()
    recorder.add(record())
    recorder.stop()
    assert len(lines_of(stream)) == 1
