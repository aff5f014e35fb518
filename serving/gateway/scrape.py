"""`GET /metrics`: what the request path counts, what Flask does, and what the state folder says at that moment."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from flask import Flask, Request, request
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from serving.gateway.access import current_principal
from serving.gateway.node import NodeReader, staleness
from serving.gateway.services import Services
from stagedoor import names
from stagedoor.auth import check_role

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOT_TRACKED: Final = (r"^/models/.+/invocations$", r"^/v2/models/.+/infer$", r"^/predict$")
"""Predictions are counted by the plane, whichever way they come in."""


class NodeCollector(Collector):
    """Gauges read from the state folder at each scrape, so that any worker can answer for the machine.

    Labels are names of models that the registry holds, never what a caller sent.
    """

    def __init__(self, services: Services, reader: NodeReader) -> None:
        self._services = services
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        """The gauges of now."""
        now = time.time()
        node = self._reader.read(now)
        serial = GaugeMetricFamily(names.METRIC_SNAPSHOT_SERIAL, "Serial of the snapshot that the resolver published last.")
        serial.add_metric([], node.snapshot.serial)
        yield serial
        age = staleness(node.heartbeat, now)
        stale = GaugeMetricFamily(names.METRIC_STALENESS, "Seconds since the registry was last read well; +Inf if never.")
        stale.add_metric([], float("inf") if age is None else age)
        yield stale
        problems = GaugeMetricFamily(
            names.METRIC_INTENT_PROBLEMS, "What the registry asks for and this machine does not do.", labels=["model"]
        )
        for name, entry in node.snapshot.models.items():
            if entry.route is not None or entry.problems:
                problems.add_metric([name], len(entry.problems))
        yield problems
        loaded = GaugeMetricFamily(
            names.METRIC_LOADED_VERSIONS, "Versions in the memory of the worker that answers.", labels=["model"]
        )
        for name, live in self._services.pool.view.models.items():
            if live.loaded:
                loaded.add_metric([name], len(live.loaded))
        yield loaded


class _Exporter(PrometheusMetrics):  # type: ignore[misc]  # the package has no types
    """Flask's own metrics in a registry of this app, and everything else beside them in one exposition."""

    def __init__(self, collector: NodeCollector, before_scrape: Callable[[], None], **options: object) -> None:
        self._collector = collector
        self._before_scrape = before_scrape
        super().__init__(None, registry=CollectorRegistry(), **options)

    def info(self, *_: object, **__: object) -> None:
        """Leave the exporter's version out: a gauge for each process that ever ran would pile up."""

    def generate_metrics(self, accept_header: str | None = None, names: Sequence[str] | None = None) -> tuple[str, str]:
        """The exposition text and its content type. `names` restricts it to those metrics."""
        self._before_scrape()
        registry: Any = CollectorRegistry(auto_describe=False)
        registry.register(self._collector)
        for source in _counted(self.registry):
            registry.register(source)
        if names:
            registry = _restricted(registry.collect(), frozenset(names))
        encode, content_type = choose_encoder(accept_header or "")
        return encode(registry).decode(), content_type


def _counted(own: CollectorRegistry) -> Iterator[Any]:
    """Where the counters are: in the files of all workers, or in this process."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        yield MultiProcessCollector(None)  # type: ignore[no-untyped-call]
    else:
        yield own
        yield REGISTRY


def _restricted(metrics: Iterable[Metric], wanted: frozenset[str]) -> CollectorRegistry:
    """A registry of those metrics alone that have a sample called as wanted."""
    kept = CollectorRegistry(auto_describe=False)
    found = [metric for metric in metrics if metric.name in wanted or any(s.name in wanted for s in metric.samples)]

    class Kept(Collector):
        def collect(self) -> Iterable[Metric]:
            return found

    kept.register(Kept())
    return kept


def url_rule(of: Request) -> str:
    """The label of a path: the rule that matched."""
    return str(of.url_rule)


def export_metrics(app: Flask, services: Services, reader: NodeReader) -> None:
    """Add `/metrics` and count what Flask answers. No label takes a value that a caller can choose freely."""

    @app.before_request
    def leave_out_what_no_route_takes() -> None:
        # Such requests are counted as rejected, by problem code; a histogram of them would tell nothing more.
        if request.method not in METHODS or request.url_rule is None:
            request.prom_do_not_track = True  # type: ignore[attr-defined]  # the exporter's own mark

    def guarded(view: Callable[[], Any]) -> Callable[[], Any]:
        def prometheus_metrics() -> Any:  # noqa: ANN401  whatever the exporter answers
            if services.settings.metrics_need_token:
                check_role(current_principal(), "read the metrics", names.ROLE_VIEWER)
            return view()

        return prometheus_metrics

    exporter = _Exporter(
        NodeCollector(services, reader),
        services.before_scrape,
        path="/metrics",
        group_by=url_rule,
        excluded_paths=list(NOT_TRACKED),
        metrics_decorator=guarded,
        defaults_prefix="stagedoor_gateway",
    )
    exporter.init_app(app)
