"""What the gateways counted, and which route they serve: read over HTTP, from them or from Prometheus."""

from collections.abc import Callable

from registry_hooks.evidence.fleet import NodeView, read_fleet
from registry_hooks.evidence.gateways import GatewaySource
from registry_hooks.evidence.port import EvidenceSource, Reports
from registry_hooks.evidence.prometheus import PrometheusSource
from registry_hooks.evidence.tally import OUTCOME_MARGIN_SECONDS
from stagedoor.settings import Settings

__all__ = ["EvidenceSource", "NodeView", "Reports", "build_source", "read_fleet"]


def build_source(settings: Settings, token: Callable[[], str]) -> EvidenceSource:
    """Prometheus where one is configured, else the gateways. `token` gives a viewer's token, asked at each look."""
    deadline = settings.predict_timeout_seconds + OUTCOME_MARGIN_SECONDS
    if settings.prometheus_url is not None:
        return PrometheusSource(str(settings.prometheus_url), deadline=deadline)
    needed = token if settings.metrics_need_token else None
    return GatewaySource(map(str, settings.gateways), token=needed, deadline=deadline)
