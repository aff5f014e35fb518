"""Asking MLflow for webhooks: exactly one that is ours, however many controllers ask at once."""

import contextlib
from collections.abc import Callable
from typing import Final

from stagedoor.errors import RegistryError, RegistryNotFound, RegistryUnavailable
from stagedoor.registry.mlflow_answers import Webhook
from stagedoor.registry.mlflow_webhooks import MLflowWebhooks, says
from stagedoor.telemetry import get_logger

NAME: Final = "stagedoor-controller"
"""Ours are those of this name, wherever they lead: a controller that has moved must not leave one behind."""
EVENTS: Final = frozenset(
    {
        "registered_model.created",
        "model_version.created",
        "model_version_tag.set",
        "model_version_tag.deleted",
        "model_version_alias.created",
        "model_version_alias.deleted",
    }
)
TIMEOUT_SECONDS: Final = 5.0
ATTEMPTS: Final = 5
_HINT: Final = (
    "The controller reads the registry each second all the same. MLflow takes https and public addresses alone, unless its "
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS say otherwise, and it needs "
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY to keep secrets over a restart."
)


class Registration:
    """Our webhook at one MLflow server. MLflow does not show secrets, so that ours is told once in the life of this object."""

    def __init__(self, mlflow_url: str, token: Callable[[], str | None], url: str, secret: str) -> None:
        self._webhooks = MLflowWebhooks(mlflow_url, timeout=TIMEOUT_SECONDS, token=token)
        self._url = url
        self._secret = secret
        self._told = False
        self._log = get_logger()

    def ensure(self) -> bool:
        """Leave exactly one webhook of ours, which leads here. False, and a line in the log, where MLflow would not have it."""
        try:
            self._settle()
        except RegistryError as error:
            self._log.warning("webhook_not_registered", why=str(error), hint=_HINT)
            self._told = False
            return False
        if not self._told:
            self._log.info("webhook_registered")
        self._told = True
        return True

    def _settle(self) -> None:
        """Whoever makes a webhook looks again afterwards, and all agree that the oldest stays.

        So one is left of those that several controllers make at once, though it may be another than was seen first.
        """
        for _ in range(ATTEMPTS):
            ours = self._ours()
            if not ours:
                self._webhooks.create(NAME, self._url, EVENTS, self._secret)
                ours = self._ours()
            for surplus in ours[1:]:
                with contextlib.suppress(RegistryNotFound):  # another controller was quicker
                    self._webhooks.delete(surplus.webhook_id)
            if ours and self._told and says(ours[0], self._url, EVENTS):
                return
            with contextlib.suppress(RegistryNotFound, IndexError):  # another controller kept another one
                self._webhooks.update(ours[0].webhook_id, self._url, EVENTS, self._secret)
                return
        raise RegistryUnavailable("Our webhook is gone as often as it is made.")

    def _ours(self) -> list[Webhook]:
        """The oldest first."""
        found = [webhook for webhook in self._webhooks.all() if webhook.name == NAME]
        return sorted(found, key=lambda webhook: (webhook.creation_timestamp, webhook.webhook_id))


def ensure_registered(mlflow_url: str, token: Callable[[], str | None], url: str, secret: str) -> bool:
    """See Registration.ensure. Tells MLflow the secret each time; who asks again and again keeps a Registration."""
    return Registration(mlflow_url, token, url, secret).ensure()
