"""The controller's REST as it is, over a registry and a ledger in memory and a board that tests write; commands before it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from registry_hooks.api import Places, Services, create_api
from registry_hooks.desk import Desk
from registry_hooks.ledger.chain import Mark, Verification, verify
from registry_hooks.ledger.entry import GENESIS, Draft, Entry, entry_of, row_of
from stagedoor.auth import build_authenticator, issue_token
from stagedoor.cli import main
from stagedoor.domain.route_tag import write_route
from stagedoor.domain.traffic import Arm, Route
from stagedoor.local.endpoints import Endpoints
from stagedoor.registry.memory import MemoryRegistry
from stagedoor.settings import Settings

from .serving_apps import FakeGateway, served


@dataclass
class MemoryLedger:
    """Rows in a list, hashed as the real ones are."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def append(self, draft: Draft, generation: int = 1) -> Entry:
        previous = self.rows[-1]["hash"] if self.rows else GENESIS
        self.rows.append(row_of(draft, len(self.rows) + 1, generation, previous))
        return entry_of(self.rows[-1])

    def history(self, model: str, *, until: float | None = None, limit: int = 100) -> Sequence[Entry]:
        found = [entry_of(row) for row in reversed(self.rows) if row["model"] == model]
        return [entry for entry in found if until is None or entry.at <= until][:limit]

    def of_epoch(self, model: str, epoch: int) -> Entry | None:
        return next((entry for entry in self.history(model, limit=1000) if entry.epoch == epoch), None)

    def verify(self) -> Verification:
        return verify(self.rows, Mark(self.rows[-1]["seq"], self.rows[-1]["hash"]) if self.rows else None)


@dataclass
class DictBoard:
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def read(self) -> dict[str, dict[str, Any]]:
        return self.rows


@dataclass
class Controller:
    """One app with everything behind it within a test's reach."""

    settings: Settings
    registry: MemoryRegistry
    ledger: MemoryLedger
    board: DictBoard
    services: Services
    woken: list[float]

    def __post_init__(self) -> None:
        self.app = create_api(self.services)
        self.client: FlaskClient = self.app.test_client()

    @property
    def desk(self) -> Desk:
        return self.services.desk

    def token(self, role: str, subject: str = "alice", models: tuple[str, ...] = ("*",)) -> str:
        return issue_token(self.settings, subject=subject, roles=(role,), models=models, lifetime_seconds=3600, now=time.time())

    def headers(self, role: str = "promoter", **more: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(role, **more)}"}

    def post(self, path: str, body: Any = None, role: str = "promoter", **more: Any) -> Any:
        return self.client.post(f"/v1/models/{path}", json={} if body is None else body, headers=self.headers(role, **more))

    def get(self, path: str, role: str = "viewer", **more: Any) -> Any:
        return self.client.get(path, headers=self.headers(role, **more))

    def show(self, **row: Any) -> None:
        """Put a row on the board."""
        shown = {"model": "fraud", "stable": "1", "phase": "idle", "candidate": None, "updated_at": time.time(), **row}
        self.board.rows[shown["model"]] = shown

    def decide(self, version: str | None, at: float, kind: str = "promoted", route: Route | None = None) -> Entry:
        """Write a decision into the ledger that leaves `version` live."""
        state = {"stable": version, "route": write_route(route) if route else None}
        epoch = route.epoch if route else len(self.ledger.rows) + 1
        key = f"fraud/{len(self.ledger.rows)}"
        return self.ledger.append(
            Draft(key, at, "fraud", kind, "alice", None, version, epoch, "as asked", {"outcomes": 50}, state)
        )


ROUTE = Route(5, (Arm("champion", "1", 9500), Arm("candidate", "2", 500)), b"salt", issued=True, by="alice", reason="step 2")


def make_controller(state: Path, **overrides: Any) -> Controller:
    settings = Settings(state_dir=state, **overrides)
    registry, ledger, board, woken = MemoryRegistry(), MemoryLedger(), DictBoard(), []
    for semver in ("1.0.0", "1.1.0", "1.2.0"):
        registry.register("fraud", state, {"semver": semver})
    registry.register("payroll", state)
    registry.set_alias("fraud", "champion", "1")
    places = Places("http://controller", "http://gateway", "http://mlflow")
    services = Services(
        settings,
        build_authenticator(settings),
        Desk(registry, ledger, board),
        places,
        wake=lambda: woken.append(time.time()),
        accept_webhook=lambda headers, body, now: headers.get("x-mlflow-delivery-id") == "new",
    )
    return Controller(settings, registry, ledger, board, services, woken)


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    made = make_controller(tmp_path)
    made.show()
    return made


def tags(controller: Controller) -> dict[str, str]:
    return dict(controller.registry.model("fraud").tags)


def champion(controller: Controller) -> str | None:
    return controller.registry.model("fraud").aliases.get("champion")


Run = Callable[..., Result]
"""A line of the command line, as its words."""


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def run(controller: Controller, gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    for variable in ("STAGEDOOR_TOKEN", "STAGEDOOR_CONTROLLER_URL", "STAGEDOOR_TOKEN_SECRET"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("STAGEDOOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    with capture_logs(), served(controller.app) as address, served(gateway.app()) as gate:
        tokens = {role: controller.token(role) for role in ("admin", "promoter", "predictor")}
        Endpoints("http://127.0.0.1:1", gate, address, tokens).write(tmp_path / "endpoints.json")
        yield lambda *arguments: CliRunner().invoke(main, arguments)
