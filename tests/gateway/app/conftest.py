"""The Flask app over real tokens and real state files. Loaded versions and predictions are stand-ins: neither matters here."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving.gateway.app import create_app
from serving.gateway.services import Services
from serving.http import Reply, Request
from serving.snapshot_file import Heartbeat, write_heartbeat, write_snapshot
from serving.values import TensorSpec
from stagedoor.auth import build_authenticator, issue_token
from stagedoor.domain.snapshot import ModelEntry, Snapshot, VersionEntry
from stagedoor.domain.traffic import Arm, Route, Sticky
from stagedoor.errors import ModelNotFound, VersionNotReady, VersionRefused
from stagedoor.paths import StatePaths
from stagedoor.settings import Settings

WEBHOOK_SECRET = "a secret that only MLflow and the gateway know"


@dataclass(frozen=True, slots=True)
class Described:
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    version: str
    flavor: str = "onnx"
    signature: Described = Described((TensorSpec("amount", "FP64", (-1,)),), (TensorSpec("label", "INT64", (-1,)),))


@dataclass(frozen=True, slots=True)
class Live:
    entry: ModelEntry
    loaded: Mapping[str, Loaded]


@dataclass(frozen=True, slots=True)
class View:
    serial: int
    models: Mapping[str, Live]


@dataclass
class Pool:
    """Has version 1 in the store, waits for 10 in vain, and knows of no other."""

    view: View

    def load(self, name: str, version: str, deadline_seconds: float) -> Loaded:
        assert 0 < deadline_seconds <= 2
        if version == "1":
            return Loaded("1", "python_function")
        if version == "4":
            raise VersionRefused(f"{name}/{version}", "The file is no ONNX model.")
        if version == "10":
            raise VersionNotReady(f"{name}/{version}")
        raise ModelNotFound(f"{name}/{version}")


REPLY = Reply(200, (("Content-Type", "application/json"), ("X-Request-Id", "from-the-plane")), b'{"predictions":[1]}')


@dataclass
class EchoPlane:
    """Keeps the requests it gets and gives one answer to all."""

    requests: list[Request] = field(default_factory=list)
    reply: Reply = REPLY

    def predict(self, request: Request) -> Reply:
        self.requests.append(request)
        return self.reply


FRAUD = ModelEntry(
    "fraud",
    aliases={"champion": "2", "challenger": "3"},
    stages={"Production": "2"},
    policy="champion=90,challenger=10",
    sticky="header:X-User-Id",
    route=Route(
        5,
        (Arm("champion", "2", 9000), Arm("challenger", "3", 1000)),
        b"salt",
        Sticky("header", "X-User-Id"),
        "follows the registry",
    ),
    versions={
        "2": VersionEntry("2", "ready", "d" * 64, "onnx", 1_000_000),
        "3": VersionEntry("3", "ready", "e" * 64, "onnx", 1_000_000),
        "4": VersionEntry("4", "refused", code="load_failed", reason="The file is no ONNX model."),
        "10": VersionEntry("10", "pending"),
    },
    problems=("alias next: version 4 was refused (load_failed): The file is no ONNX model.; nothing serves in its place",),
)
PAYROLL = ModelEntry("payroll", problems=("payroll has a problem of its own",))
SNAPSHOT = Snapshot(7, {"fraud": FRAUD, "payroll": PAYROLL})
VIEW = View(7, {"fraud": Live(FRAUD, {"2": Loaded("2"), "3": Loaded("3")}), "payroll": Live(PAYROLL, {})})


@dataclass
class Gateway:
    """One app with everything behind it within a test's reach."""

    services: Services
    client: FlaskClient
    pool: Pool
    plane: EchoPlane

    @property
    def paths(self) -> StatePaths:
        return self.services.paths

    def token(self, *roles: str, models: tuple[str, ...] = ("*",), lifetime: int = 3600) -> dict[str, str]:
        settings = self.services.settings
        token = issue_token(settings, subject="tester", roles=roles, models=models, lifetime_seconds=lifetime, now=time.time())
        return {"Authorization": f"Bearer {token}"}

    def beat(self, *, succeeded_ago: float | None = 0.5, error: str | None = None, models: int = 2) -> None:
        now = time.time()
        succeeded = None if succeeded_ago is None else now - succeeded_ago
        write_heartbeat(self.paths.heartbeat, Heartbeat(now, succeeded, error, 0.01, models, 1))


def make_gateway(state: Path, **overrides: Any) -> Gateway:
    chosen = {"webhook_secret": WEBHOOK_SECRET, "default_model": "fraud", "max_body_bytes": 1000} | overrides
    settings = Settings(state_dir=state, **chosen)
    pool, plane, paths = Pool(VIEW), EchoPlane(), StatePaths(state)
    services = Services(settings, build_authenticator(settings), pool, plane, paths)
    gateway = Gateway(services, create_app(services).test_client(), pool, plane)
    write_snapshot(paths.snapshot, SNAPSHOT)
    gateway.beat()
    return gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return make_gateway(tmp_path)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Gateway]:
    """Make a gateway with settings of one's own."""
    return lambda **overrides: make_gateway(tmp_path / "made", **overrides)
