"""The parts of a controller, put together. Roots call it, and nothing else."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flask import Flask

from registry_hooks.api import Places, Services, create_api
from registry_hooks.board import Board
from registry_hooks.controller import Controller, Parts
from registry_hooks.desk import Desk
from registry_hooks.evidence import build_source, read_fleet
from registry_hooks.gates import Gatehouse
from registry_hooks.gating import Gating
from registry_hooks.lease import Lease, build_lease
from registry_hooks.ledger import ledger_place, open_ledger
from registry_hooks.notices import announcing
from registry_hooks.notifiers import Announcer, build_notifiers
from registry_hooks.webhooks import Delivery, Receiver, Registration
from stagedoor import names
from stagedoor.auth import Authenticator, OwnToken, build_authenticator
from stagedoor.domain.rollout import Node
from stagedoor.paths import StatePaths
from stagedoor.registry.mlflow_registry import MLflowRegistry
from stagedoor.settings import MIB, Settings
from stagedoor.telemetry import get_logger

SUBJECT: Final = "stagedoor-controller"
REGISTER_EVERY: Final = 60.0
"""Seconds between two looks whether MLflow still has our webhook."""
RETRY_EVERY: Final = 5.0
LEAST_PAUSE: Final = 0.1
"""Seconds between two turns, however often it is woken."""


@dataclass(frozen=True, slots=True)
class Control:
    """One controller process: started once, stopped once."""

    settings: Settings
    controller: Controller
    lease: Lease
    authenticator: Authenticator
    announcer: Announcer
    gating: Gating
    flask: Flask
    wake: threading.Event
    ended: threading.Event
    register: Callable[[], bool]

    def start(self) -> None:
        """Begin to decide, in threads of its own."""
        self.authenticator.start()
        threading.Thread(target=self._turns, name="controller", daemon=True).start()
        threading.Thread(target=self._keep_registered, name="webhooks", daemon=True).start()

    def stop(self) -> None:
        """Decide nothing more, and let another controller lead."""
        self.ended.set()
        self.wake.set()
        self.controller.close()
        self.gating.close()
        self.announcer.close()
        self.lease.release()
        self.authenticator.close()

    def _turns(self) -> None:
        while not self.ended.is_set():
            self.wake.clear()
            try:
                self.controller.turn(time.time())
            except Exception:  # noqa: BLE001  the loop's last handler: whatever it was, the next turn looks at the world anew
                get_logger().exception("turn_failed")
            # What the controller itself writes comes back as webhooks: they must not make it spin.
            self.ended.wait(LEAST_PAUSE)
            self.wake.wait(self.settings.poll_seconds)

    def _keep_registered(self) -> None:
        while not self.ended.is_set():
            done = self.register()
            self.ended.wait(REGISTER_EVERY if done else RETRY_EVERY)


def build_control(settings: Settings) -> Control:
    """Put a controller together. Nothing is started. Raises ConfigurationError, and LedgerUnavailable."""
    paths = StatePaths(settings.state_dir)
    token = _token(settings)
    registry = MLflowRegistry(
        str(settings.mlflow_url),
        timeout=settings.registry_timeout_seconds,
        token=token,
        max_artifact_bytes=settings.disk_budget_mib * MIB,
    )
    ledger = open_ledger(ledger_place(settings, paths))
    lease = build_lease(settings, paths, ledger)
    board, wake = Board(), threading.Event()
    viewer = OwnToken(settings, subject=SUBJECT, roles=(names.ROLE_VIEWER,))
    source = build_source(settings, viewer)
    announcer = build_notifiers(settings)
    gateways = tuple(str(url).rstrip("/") for url in settings.gateways)

    def nodes(model: str) -> tuple[Node, ...]:
        return tuple(
            Node(view.name, view.ready, view.epochs.get(model, 0)) for view in read_fleet(gateways, viewer) if view.name
        )

    gating = Gating(Gatehouse(registry, settings, paths))
    parts = Parts(settings, registry, ledger, lease, source, gating, board, nodes, announcing(announcer))
    authenticator = build_authenticator(settings)
    places = Places(
        str(settings.controller_url).rstrip("/") if settings.controller_url else None,
        gateways[0] if gateways else None,
        str(settings.mlflow_url).rstrip("/"),
    )
    services = Services(
        settings,
        authenticator,
        Desk(registry, ledger, board, source),
        places,
        wake.set,
        _receiver(settings),
        board.missing,
    )
    return Control(
        settings,
        Controller(parts),
        lease,
        authenticator,
        announcer,
        gating,
        create_api(services),
        wake,
        threading.Event(),
        _registration(settings, token),
    )


def _token(settings: Settings) -> Callable[[], str | None]:
    """For MLflow: the configured token, else our own. An administrator's: routes and verdicts are for nobody else to write."""
    if settings.mlflow_token is not None:
        fixed = settings.mlflow_token.get_secret_value()
        return lambda: fixed
    return OwnToken(settings, subject=SUBJECT, roles=(names.ROLE_ADMIN,))


def _receiver(settings: Settings) -> Callable[[Mapping[str, str], bytes, float], bool] | None:
    if settings.webhook_secret is None:
        return None
    receiver = Receiver(settings.webhook_secret.get_secret_value().encode())

    def accept(headers: Mapping[str, str], body: bytes, now: float) -> bool:
        return receiver.accept(Delivery.of({name.lower(): value for name, value in headers.items()}, body), now)

    return accept


def _registration(settings: Settings, token: Callable[[], str | None]) -> Callable[[], bool]:
    url, secret = settings.webhook_url, settings.webhook_secret
    if url is None or secret is None:
        return lambda: True
    return Registration(str(settings.mlflow_url), token, str(url), secret.get_secret_value()).ensure
