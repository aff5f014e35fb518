"""What the sources rest on: reading expositions, finding lost requests, quantiles, the fleet."""

import json
import math
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from registry_hooks.evidence import build_source, read_fleet
from registry_hooks.evidence.fleet import NodeView, least_epochs
from registry_hooks.evidence.gateways import GatewaySource
from registry_hooks.evidence.latency import Buckets, merge, quantile
from registry_hooks.evidence.lost import History, Look, lost
from registry_hooks.evidence.prometheus import PrometheusSource
from registry_hooks.evidence.series import MAX_EPOCHS, Series, parse, reading
from registry_hooks.evidence.tally import Tally
from stagedoor import names
from stagedoor.errors import EvidenceUnavailable
from stagedoor.settings import Settings

# --- expositions ---


def _line(epoch: int, count: float = 1, metric: str = names.METRIC_ASSIGNED) -> str:
    return f'{metric}{{model="fraud",version="8",arm="candidate",epoch="{epoch}"}} {count}\n'


def test_only_the_newest_epochs_of_a_model_are_read() -> None:
    found = reading(parse("".join(_line(epoch) for epoch in range(1, 101))))
    assert {series.epoch for series in found.counters} == set(range(101 - MAX_EPOCHS, 101))


def test_other_metrics_cost_no_parsing() -> None:
    assert reading(parse("this is no exposition at all\n" + _line(3))).counters == {
        Series(names.METRIC_ASSIGNED, "fraud", "8", 3, "candidate", ""): 1
    }


@pytest.mark.parametrize(
    "text",
    [
        _line(3, -1),
        _line(3, math.nan),
        _line(3, math.inf),
        f"{names.METRIC_ASSIGNED}{{model=\n",
        f'{names.METRIC_DURATION}_bucket{{model="m",version="1",le="0.1"}} 1\n',
        f'{names.METRIC_DURATION}_bucket{{model="m",version="1",le="+Inf"}} -1\n',
    ],
)
def test_what_no_counter_can_say_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        reading(parse(text))


@pytest.mark.parametrize("answer", [b"<html>", b"\xff\xfe", f"{names.METRIC_ASSIGNED}{{model=".encode()])
def test_a_gateway_that_shows_garbage_cannot_tell(answer: bytes, serve: Callable[..., str]) -> None:
    source = GatewaySource([serve(lambda *_: (200, answer))], token=None, deadline=10)
    if answer == b"<html>":
        assert source.read(["fraud"], 1) == {}
    else:
        with pytest.raises(EvidenceUnavailable):
            source.read(["fraud"], 1)


@pytest.mark.parametrize(
    "answer", [b"<html>", b"[]", b"{}", b'{"status":"error"}', b'{"status":"success","data":{"resultType":"matrix"}}']
)
def test_what_is_not_prometheus_cannot_tell(answer: bytes, serve: Callable[..., str]) -> None:
    source = PrometheusSource(serve(lambda *_: (200, answer)), deadline=10)
    with pytest.raises(EvidenceUnavailable):
        source.read(["fraud"], 1)


def test_prometheus_that_scrapes_no_gateway_is_no_evidence(serve: Callable[..., str]) -> None:
    empty = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()
    with pytest.raises(EvidenceUnavailable, match="knows no gateway"):
        PrometheusSource(serve(lambda *_: (200, empty)), deadline=10).read(["fraud"], 1)


def test_the_token_goes_along_where_metrics_need_one(serve: Callable[..., str]) -> None:
    def answer(_path: str, query: dict[str, list[str]], headers: Any) -> tuple[int, bytes]:
        assert names.METRIC_ASSIGNED in query["name[]"]
        return (200 if headers["Authorization"] == "Bearer secret" else 401), b""

    url = serve(answer)
    needed = Settings(gateways=(url,), metrics_need_token=True)
    assert build_source(needed, lambda: "secret").read(["fraud"], 1) == {}
    with pytest.raises(EvidenceUnavailable, match="refuses") as caught:
        build_source(needed, lambda: "another").read(["fraud"], 1)
    assert "another" not in str(caught.value)


def test_a_gateway_that_drips_is_given_up(serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry_hooks.evidence.asking.ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = GatewaySource([f"http://127.0.0.1:{silent.getsockname()[1]}"], token=None, deadline=10)
        with pytest.raises(EvidenceUnavailable, match="no answer"):
            source.read(["fraud"], 1)


# --- lost requests ---

DEADLINE = 10.0


def _watch(events: list[tuple[float, float | None]], seconds: float, mean: float | None) -> int:
    """Look each half second at requests that came at one moment and ended at another, or never."""
    history = History()
    for tick in range(round(seconds * 2) + 1):
        now = tick / 2
        assigned = sum(1 for came, _ in events if came <= now)
        finished = sum(1 for _, ended in events if ended is not None and ended <= now)
        history.add(Look(now, assigned, finished), deadline=DEADLINE, mean_seconds=mean)
    return history.lost


def test_a_version_that_kills_every_worker_is_charged_for_all_of_them() -> None:
    assert _watch([(i / 5, None) for i in range(50)], 30, mean=0.0) == 50


def test_seldom_crashes_show_within_two_deadlines_on_a_quick_version() -> None:
    crashes = {20, 45, 70}
    events = [(i / 5, None if i in crashes else i / 5 + 0.01) for i in range(150)]
    assert _watch(events, 30, mean=0.01) == 2  # one is forgiven while requests come
    assert _watch(events, 45, mean=0.01) == 3


def test_without_a_mean_only_what_is_certain_counts() -> None:
    events = [(i / 5, None if i % 10 == 0 else i / 5 + 0.01) for i in range(150)]
    assert _watch(events, 29, mean=None) == 0
    assert _watch(events, 60, mean=None) == 15


@pytest.mark.parametrize(("rate", "mean"), [(5, 0.01), (50, 0.1), (100, 1.0), (20, 4.0), (200, 0.005)])
def test_a_busy_version_that_answers_everything_is_charged_with_nothing(rate: int, mean: float) -> None:
    draw = random.Random(7)  # noqa: S311  no secret
    came = [draw.uniform(0, 40) for _ in range(rate * 40)]
    events = [(at, at + min(draw.expovariate(1 / mean), DEADLINE - 0.1)) for at in came]
    assert _watch(events, 40, mean) == 0


@given(
    st.lists(st.tuples(st.floats(0, 40), st.floats(0, DEADLINE - 0.01)), max_size=80),
    st.lists(st.floats(0, 40), max_size=10),
)
def test_the_certain_part_never_exceeds_what_was_lost(answered: list[tuple[float, float]], died: list[float]) -> None:
    events: list[tuple[float, float | None]] = [(came, came + took) for came, took in answered]
    events += [(came, None) for came in died]
    assert _watch(events, 40, None) <= len(died)
    assert _watch(events, 60, None) == len(died)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60))
def test_lost_requests_never_become_fewer(steps: list[tuple[float, int, int]]) -> None:
    history, at, assigned, finished, before = History(), 0.0, 0, 0, 0
    for seconds, more, ended in steps:
        at, assigned = at + seconds, assigned + more
        finished = min(assigned, finished + ended)
        now = history.add(Look(at, assigned, finished), deadline=5, mean_seconds=0.01)
        assert before <= now <= assigned
        before = now


def test_long_deadlines_keep_a_bounded_history() -> None:
    history = History()
    for second in range(5_000):
        history.add(Look(float(second), second, second - 1 if second else 0), deadline=3_600, mean_seconds=0.1)
    assert len(history.looks) < 300
    assert history.looks[0].at <= 5_000 - 3_600
    assert history.lost == 0


def test_one_look_says_nothing() -> None:
    assert lost((Look(0, 100, 0),), deadline=DEADLINE, mean_seconds=None) == 0


# --- restarts ---


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=5), min_size=1, max_size=6))
def test_totals_over_lives_are_the_sums_of_what_each_life_showed_last(lives: list[list[int]]) -> None:
    """As long as each life counts fewer at its first look than the one before it had at its last: else no one can tell."""
    tally, seen, now = Tally(deadline=1e9, dense=True), 0, 0.0
    key = Series(names.METRIC_ASSIGNED, "fraud", "8", 3, "candidate", "")
    for steps in lives:
        total = 0
        for step in (0, *steps):
            total, now = total + step, now + 1
            tally.add("one", reading(parse(_line(3, total))), now)
        seen += total
    assert tally.reports(["fraud"]).get("fraud", {})[3].of("candidate").assigned == seen
    assert key.metric == names.METRIC_ASSIGNED


# --- quantiles ---


@given(st.lists(st.floats(0, 5), min_size=100, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seconds: list[float], share: float) -> None:
    bounds = (0.1, 0.5, 1.0, 2.0, 5.0)
    registry = CollectorRegistry()
    histogram = Histogram(names.METRIC_DURATION, "seconds", ("model", "version"), buckets=bounds, registry=registry)
    for value in seconds:
        histogram.labels("fraud", "7").observe(value)
    buckets = reading(parse(generate_latest(registry).decode())).latencies["fraud", "7"]
    found = quantile(buckets, share)
    true = sorted(seconds)[math.ceil(share * len(seconds)) - 1]
    upper = next(bound for bound in bounds if true <= bound)
    lower = max((bound for bound in (0.0, *bounds) if bound < upper), default=0.0)
    assert found is not None
    assert lower <= found <= upper
    assert buckets.mean == pytest.approx(sum(seconds) / len(seconds))


def test_beyond_the_last_finite_bound_a_quantile_is_that_bound() -> None:
    assert quantile(Buckets(((1.0, 10.0), (math.inf, 200.0))), 0.99) == 1.0
    assert quantile(Buckets(((math.inf, 200.0),)), 0.99) is None


def test_histograms_with_other_buckets_are_not_added() -> None:
    one = Buckets.of({0.1: 5, math.inf: 9}, 1)
    other = Buckets.of({0.2: 1, math.inf: 1}, 1)
    with pytest.raises(ValueError, match="cumulative"):
        merge([one, other])
    assert merge([]).count == 0


# --- the fleet ---


def test_the_fleet_is_read_in_order_and_whoever_is_silent_is_not_ready(serve: Callable[..., str]) -> None:
    workers = [{"pid": 1, "routes": {"fraud": 12, "churn": 3}}, {"pid": 2, "routes": {"fraud": 11}}]
    body = json.dumps({"node": "alpha", "workers": workers}).encode()

    def ready(path: str, _query: Any, headers: Any) -> tuple[int, bytes]:
        if path == "/readyz":
            return 200, b"{}"
        return (200, body) if headers["Authorization"] == "Bearer t" else (401, b"")

    def unready(path: str, *_: Any) -> tuple[int, bytes]:
        return (503, b"{}") if path == "/readyz" else (200, body)

    urls = [serve(ready), serve(unready), serve(lambda *_: (200, b"[]")), serve(lambda *_: (200, b"no"))]
    fleet = read_fleet(urls, lambda: "t")
    assert [(node.name, node.ready) for node in fleet] == [("alpha", True), ("alpha", False), ("", False), ("", False)]
    assert fleet[0].epochs == {"fraud": 11, "churn": 0}
    assert fleet[3] == NodeView(urls[3])
    assert read_fleet([], lambda: "t") == ()


def test_a_gateway_without_workers_serves_no_epoch() -> None:
    assert least_epochs([]) == {}
