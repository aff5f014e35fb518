"""Gateways that count, and a Prometheus that scrapes them: real HTTP, real expositions, no model behind them.

No Prometheus server is at hand where these tests run. The one here answers the three forms of query that are asked, in the
format of Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/).
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from registry_hooks.evidence.gateways import GatewaySource
from registry_hooks.evidence.port import EvidenceSource
from registry_hooks.evidence.prometheus import PrometheusSource
from stagedoor import names

DEADLINE = 10.0
Answer = tuple[int, bytes]


class Server:
    """Answers each request by `answer(path, query, headers)`; ends by being left."""

    def __init__(self, answer: Callable[[str, dict[str, list[str]], Any], Answer]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def _all(self) -> None:
                address = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                status, out = answer(address.path, parse_qs(address.query) | parse_qs(body), self.headers)
                self.send_response(status)
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            do_GET = _all  # noqa: N815
            do_POST = _all  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Gateway:
    """Counts as a gateway does, and shows it at /metrics."""

    def __init__(self) -> None:
        self.alive = True
        self.restart()
        self.server = Server(self._answer)

    def restart(self) -> None:
        self.registry = CollectorRegistry()
        trial = ("model", "version", "arm", "epoch")
        self._assigned = Counter(names.METRIC_ASSIGNED, "assigned", trial, registry=self.registry)
        self._predictions = Counter(names.METRIC_PREDICTIONS, "predictions", (*trial, "outcome"), registry=self.registry)
        self._slow = Counter(names.METRIC_SLOW, "slow", trial, registry=self.registry)
        self._users = Counter(names.METRIC_USERS, "users", (*trial, "outcome"), registry=self.registry)
        shadow = ("model", "version", "epoch", "outcome")
        self._shadow = Counter(names.METRIC_SHADOW, "shadow", shadow, registry=self.registry)
        self._duration = Histogram(names.METRIC_DURATION, "seconds", ("model", "version"), registry=self.registry)
        Gauge(names.METRIC_SNAPSHOT_SERIAL, "serial", registry=self.registry).set(1)

    def count(self, arm: str = "candidate", epoch: str = "12", version: str = "8", *, lost: int = 0, **outcomes: int) -> None:
        """So many requests of each outcome, and some that never came to one."""
        self._assigned.labels("fraud", version, arm, epoch).inc(sum(outcomes.values()) + lost)
        for outcome, number in outcomes.items():
            self._predictions.labels("fraud", version, arm, epoch, outcome).inc(number)

    def slow(self, number: int, arm: str = "candidate", epoch: str = "12", version: str = "8") -> None:
        self._slow.labels("fraud", version, arm, epoch).inc(number)

    def users(self, arm: str, version: str, epoch: str = "12", **outcomes: int) -> None:
        for outcome, number in outcomes.items():
            self._users.labels("fraud", version, arm, epoch, outcome).inc(number)

    def shadow(self, epoch: str = "12", version: str = "8", **outcomes: int) -> None:
        for outcome, number in outcomes.items():
            self._shadow.labels("fraud", version, epoch, outcome).inc(number)

    def took(self, seconds: float, times: int, version: str = "7") -> None:
        for _ in range(times):
            self._duration.labels("fraud", version).observe(seconds)

    def text(self) -> str:
        return generate_latest(self.registry).decode()

    def _answer(self, path: str, *_: Any) -> Answer:
        if not self.alive:
            return 503, b""
        return (200, self.text().encode()) if path == "/metrics" else (404, b"")


class Prometheus:
    """Keeps the last scrape of each gateway and answers instant queries about it."""

    def __init__(self, gateways: list[Gateway]) -> None:
        self.gateways = gateways
        self.alive = True
        self._scraped: dict[str, tuple[float, str]] = {}
        self._up: dict[str, bool] = {}
        self.now = time.time()
        self.server = Server(self._answer)

    def scrape(self, now: float) -> None:
        self.now = now
        for gateway in self.gateways:
            self._up[gateway.server.url] = gateway.alive
            if gateway.alive:
                self._scraped[gateway.server.url] = (now, gateway.text())
            else:
                self._scraped.pop(gateway.server.url, None)

    def _answer(self, path: str, query: dict[str, list[str]], _: Any) -> Answer:
        if not self.alive:
            return 503, b""
        assert path == "/api/v1/query"
        found = [{"metric": labels, "value": [self.now, str(value)]} for labels, value in self._evaluate(query["query"][0])]
        return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": found}}).encode()

    def _evaluate(self, query: str) -> Iterator[tuple[dict[str, str], float]]:
        if query == "up == 0":
            yield from (({"__name__": "up", **_at(url)}, 0.0) for url, up in self._up.items() if not up)
        elif timed := re.fullmatch(r"timestamp\((\w+)\)", query):
            for url, (at, text) in self._scraped.items():
                if timed[1] in text:
                    yield _at(url), at
        else:
            wanted = [(key, how, json.loads(f'"{value}"')) for key, how, value in _MATCHER.findall(query)]
            assert query == "{" + ",".join(f'{key}{how}"{value}"' for key, how, value in _MATCHER.findall(query)) + "}"
            for url, (_, text) in self._scraped.items():
                for family in text_string_to_metric_families(text):
                    for sample in family.samples:
                        labels = {"__name__": sample.name, **sample.labels}
                        if all(_MATCH[how](value, labels.get(key, "")) for key, how, value in wanted):
                            yield labels | _at(url), sample.value


_MATCHER = re.compile(r'(\w+)(=~|!=|=)"((?:[^"\\]|\\.)*)"')
_MATCH: dict[str, Callable[[str, str], bool]] = {
    "=~": lambda pattern, text: re.fullmatch(pattern, text) is not None,
    "!=": lambda value, text: value != text,
    "=": lambda value, text: value == text,
}


def _at(url: str) -> dict[str, str]:
    return {"job": "stagedoor", "instance": url.removeprefix("http://")}


class World:
    """Two gateways, and a source of evidence about them. `now` passes as the tests say."""

    def __init__(self, kind: str, gateways: list[Gateway], prometheus: Prometheus) -> None:
        self.kind, self.gateways, self.prometheus = kind, gateways, prometheus
        self.now = 1_000_000.0
        self.source: EvidenceSource = (
            GatewaySource([g.server.url for g in gateways], token=None, deadline=DEADLINE)
            if kind == "gateways"
            else PrometheusSource(prometheus.server.url, deadline=DEADLINE)
        )

    @property
    def gateway(self) -> Gateway:
        return self.gateways[0]

    def read(self, seconds: float = 1.0) -> Any:
        """What is known of fraud by epoch, `seconds` after the last look."""
        self.now += seconds
        self.prometheus.scrape(self.now)
        return self.source.read(["fraud"], self.now).get("fraud", {})

    def p99(self) -> float | None:
        self.prometheus.scrape(self.now)
        return self.source.stable_p99("fraud", "7")


@pytest.fixture(params=["gateways", "prometheus"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    first, second = Gateway(), Gateway()
    prometheus = Prometheus([first, second])
    with first.server, second.server, prometheus.server:
        yield World(request.param, [first, second], prometheus)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[..., Answer]], str]]:
    """Start a server that answers by a function; returns its address."""
    with ExitStack() as servers:
        yield lambda answer: servers.enter_context(Server(answer)).url
