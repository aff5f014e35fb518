"""Which route each gateway serves: what a rollout machine by machine waits for."""

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from registry_hooks.evidence.asking import Asker
from stagedoor.errors import EvidenceUnavailable

AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class NodeView:
    """One gateway. `epochs` are by model the least epoch that any of its workers serves; 0 where one serves none yet.

    A gateway that does not answer is not ready, and has no name and no epochs.
    """

    url: str
    name: str = ""
    ready: bool = False
    epochs: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def read_fleet(gateways: Iterable[str], token: Callable[[], str]) -> tuple[NodeView, ...]:
    """Ask all gateways at once, with a viewer's token. In the order given; never raises for one that does not answer."""
    urls = [str(url).rstrip("/") for url in gateways]
    bearer = token()
    with ThreadPoolExecutor(max(1, min(AT_ONCE, len(urls))), "fleet") as pool:
        return tuple(pool.map(lambda url: _view(url, bearer), urls))


def _view(url: str, token: str) -> NodeView:
    asker = Asker(url, who="The gateway")
    try:
        found = json.loads(asker.ask("/status", token=token))
        name, epochs = str(found["node"]), MappingProxyType(least_epochs(found["workers"]))
    except (EvidenceUnavailable, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return NodeView(url)
    try:
        asker.ask("/readyz")
    except EvidenceUnavailable:
        return NodeView(url, name, ready=False, epochs=epochs)
    return NodeView(url, name, ready=True, epochs=epochs)


def least_epochs(workers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """By model, the least epoch over all workers; one that does not serve the model counts as epoch 0."""
    routes = [{str(model): int(epoch) for model, epoch in worker["routes"].items()} for worker in workers]
    models = {model for route in routes for model in route}
    return {model: min(route.get(model, 0) for route in routes) for model in sorted(models)}
