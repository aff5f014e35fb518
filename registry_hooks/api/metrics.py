"""`GET /metrics`: what this app answered, and everything else that this process counts."""

import time
from typing import Final

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import REGISTRY

from registry_hooks.api.access import principal
from registry_hooks.api.services import Services
from stagedoor import names
from stagedoor.auth import check_role

REQUESTS: Final = "stagedoor_controller_requests_total"
DURATION: Final = "stagedoor_controller_request_duration_seconds"


def export_metrics(app: Flask, services: Services) -> None:
    """Add `/metrics`, and count. No label takes a value that a caller can choose freely."""
    registry = CollectorRegistry()
    requests = Counter(REQUESTS, "Requests by rule and status.", ["rule", "status"], registry=registry)
    duration = Histogram(DURATION, "Time to answer, by rule.", ["rule"], registry=registry)

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        rule = request.url_rule.rule if request.url_rule is not None else "none"
        requests.labels(rule, str(response.status_code)).inc()
        if "began" in g:
            duration.labels(rule).observe(time.perf_counter() - g.began)
        return response

    @app.get("/metrics")
    def metrics() -> Response:
        if services.settings.metrics_need_token:
            check_role(principal(), "read the metrics", names.ROLE_VIEWER)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        both = CollectorRegistry(auto_describe=False)
        for source in (registry, REGISTRY):
            both.register(source)
        return Response(encode(both), content_type=content_type)
