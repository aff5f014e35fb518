"""The same on PostgreSQL: MLflow's store and the ledger in one server, planes started one by one."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from stagedoor.local import specs
from stagedoor.local.ports import PortWish, claim, url
from stagedoor.local.process import Spec
from stagedoor.paths import StatePaths
from tests.postgres import Cluster

from . import models
from .alone import running
from .system import System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def _stored_in(spec: Spec, database: str) -> Spec:
    """MLflow with its store there, and not in a file."""
    words = tuple(database if word.startswith("sqlite:") else word for word in spec.command)
    assert words != spec.command
    return replace(spec, command=words)


@pytest.fixture(scope="module")
def on_postgresql(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[System]:
    state = tmp_path_factory.mktemp("postgresql") / "state"
    state.mkdir()
    paths = StatePaths(state)
    wishes = [PortWish(what, 0, "--port") for what in ("MLflow", "the gateway", "the controller")]
    mlflow_at, gateway_at, controller_at = claim("127.0.0.1", wishes)
    found = System(state, *(url("127.0.0.1", port) for port in (mlflow_at, gateway_at, controller_at)))
    with ExitStack() as stack:
        quick = {"STAGEDOOR_POLL_SECONDS": "0.5", "STAGEDOOR_LEDGER_URL": postgres.database()}
        mlflow = specs.mlflow_server(paths, "127.0.0.1", mlflow_at, webhook_key=specs.webhook_key(paths))
        secret = specs.webhook_secret(paths)
        control = specs.controller(paths, found.mlflow_url, (found.gateway,), "127.0.0.1", controller_at, secret=secret)
        stack.enter_context(running(_stored_in(mlflow, postgres.database())))
        stack.enter_context(running(specs.resolver(paths, found.mlflow_url, "route"), **quick))
        serving = specs.gateway(paths, found.mlflow_url, "127.0.0.1", gateway_at, 2, follow="route")
        # Nothing is registered yet: it is alive before it is ready.
        stack.enter_context(running(replace(serving, ready_url=f"{found.gateway}/livez"), **quick))
        stack.enter_context(running(control, **quick))
        yield found


def test_a_rollout_on_postgresql_is_rolled_back_and_one_promoted(on_postgresql: System) -> None:
    system = on_postgresql
    system.with_live("stored", "stored-harm", files=models.GOOD)
    with system.traffic("stored") as good, system.traffic("stored-harm") as harmful:
        for name, files in (("stored", models.GOOD), ("stored-harm", models.HARMFUL)):
            system.register(name, files)
            system.point(name, "2")
        system.ends("stored", "2", "promoted")
        system.ends("stored-harm", "2", "rolled_back")
        system.goes_live("stored", "2")
        system.goes_live("stored-harm", "1")
    assert system.champion("stored-harm") == "1"
    assert good.statuses == harmful.statuses == {200}
    assert system.kinds("stored")[-4:] == ["started", "traffic_started", "advanced", "promoted"]
    verified = system.ask("GET", "/v1/ledger/verify").json()
    assert verified["sound"]
    assert not list(system.paths.root.rglob("ledger.db"))
