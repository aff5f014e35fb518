"""MLflow's list of webhooks over REST."""

from collections.abc import Iterator
from typing import Final

from stagedoor.errors import RegistryGarbled
from stagedoor.registry import mlflow_answers as answers
from stagedoor.registry.mlflow_answers import Webhook
from stagedoor.registry.mlflow_http import MLflowHttp, TokenSource

MAX_PAGES: Final = 100
_PATH: Final = "/api/2.0/mlflow/webhooks"
_ACTIVE: Final = "ACTIVE"


class MLflowWebhooks:
    """Lists and changes the webhooks of the MLflow server at `url`. Every verb raises the leaves of RegistryError."""

    def __init__(self, url: str, *, timeout: float, token: TokenSource) -> None:
        self._http = MLflowHttp(url, timeout=timeout, token=token)

    def all(self) -> tuple[Webhook, ...]:
        """Every webhook of the server."""
        return tuple(self._pages())

    def create(self, name: str, url: str, events: frozenset[str], secret: str) -> None:
        """Make one. MLflow does not mind another of the same name."""
        self._http.ask("POST", _PATH, json={"name": name, "status": _ACTIVE, **_said(url, events, secret)})

    def update(self, webhook_id: str, url: str, events: frozenset[str], secret: str) -> None:
        """Change all but its name; what MLflow still holds in its cache it goes by for another minute."""
        self._http.ask("PATCH", f"{_PATH}/{webhook_id}", json={"status": _ACTIVE, **_said(url, events, secret)})

    def delete(self, webhook_id: str) -> None:
        """Delete one. Raises RegistryNotFound."""
        self._http.ask("DELETE", f"{_PATH}/{webhook_id}")

    def _pages(self) -> Iterator[Webhook]:
        token = ""
        for _ in range(MAX_PAGES):
            params = {"max_results": "1000", "page_token": token} if token else {"max_results": "1000"}
            found, token = answers.read_webhooks(self._http.ask("GET", _PATH, params=params))
            yield from found
            if not token:
                return
        raise RegistryGarbled("MLflow's list of webhooks has no end.")


def says(webhook: Webhook, url: str, events: frozenset[str]) -> bool:
    """Whether `webhook` tells `url` of `events` (such as `model_version_alias.created`), as far as one can see."""
    told = frozenset(f"{event.entity}.{event.action}".lower() for event in webhook.events)
    return (webhook.url, told, webhook.status) == (url, events, _ACTIVE)


def _said(url: str, events: frozenset[str], secret: str) -> dict[str, object]:
    pairs = [event.upper().split(".") for event in sorted(events)]
    return {"url": url, "secret": secret, "events": [{"entity": entity, "action": action} for entity, action in pairs]}
