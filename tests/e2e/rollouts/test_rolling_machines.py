"""A version that takes over machine by machine: two gateways with folders of their own, one controller that watches both."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from stagedoor.local import specs
from stagedoor.local.ports import PortWish, claim, url
from stagedoor.paths import StatePaths

from . import models
from .alone import running
from .system import JUDGED, System, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HOST = "127.0.0.1"


class Machines(System):
    """A system whose second gateway is `south`; `gateway` is that of `north`."""

    def __init__(self, state: Path, ports: dict[str, int]) -> None:
        super().__init__(state, *(url(HOST, ports[what]) for what in ("mlflow", "north", "controller")))
        self.south = url(HOST, ports["south"])

    def versions(self) -> tuple[set[str], set[str]]:
        """The versions that answer at each machine just now."""
        found = []
        for gateway in (self.gateway, self.south):
            elsewhere = System(self.paths.root, self.mlflow_url, gateway, self.controller)
            found.append({answer.version for answer in (elsewhere.predict("rolled") for _ in range(4))})
        return found[0], found[1]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    wanted = ("mlflow", "north", "south", "controller")
    ports = dict(zip(wanted, claim(HOST, [PortWish(what, 0, "--port") for what in wanted]), strict=True))
    north, south = StatePaths(tmp_path / "north"), StatePaths(tmp_path / "south")
    found = Machines(north.root, ports)
    found.token()  # the secret of the one folder is made, for the other to have as well
    south.root.mkdir()
    shutil.copy(north.secret, south.secret)
    quick = {"STAGEDOOR_POLL_SECONDS": "0.5"}
    with ExitStack() as stack:
        key, secret = specs.webhook_key(north), specs.webhook_secret(north)
        stack.enter_context(running(specs.mlflow_server(north, HOST, ports["mlflow"], webhook_key=key)))
        for name, paths in (("north", north), ("south", south)):
            here = quick | {"STAGEDOOR_NODE_NAME": name}
            stack.enter_context(running(specs.resolver(paths, found.mlflow_url, "route"), **here))
            gateway = specs.gateway(paths, found.mlflow_url, HOST, ports[name], 1, follow="route")
            alive = replace(gateway, ready_url=f"{url(HOST, ports[name])}/livez")
            stack.enter_context(running(alive, **here))
        both = (found.gateway, found.south)
        control = specs.controller(north, found.mlflow_url, both, HOST, ports["controller"], secret=secret)
        stack.enter_context(running(control, **quick))
        yield found


def test_a_version_takes_over_one_machine_after_the_other(machines: Machines) -> None:
    machines.with_live("rolled", files=models.GOOD)
    until(lambda: machines.versions() == ({"1"}, {"1"}), "both machines serve version 1")
    machines.tag("rolled", "stagedoor.rollout", f"rolling interval=3s bake=2s {JUDGED}")
    machines.register("rolled", models.GOOD)
    machines.point("rolled", "2")
    seen = []
    with machines.traffic("rolled") as north:
        until(lambda: seen.append(machines.versions()) or seen[-1] == ({"2"}, {"2"}), "both machines serve version 2")
        machines.ends("rolled", "2", "promoted")
    assert ({"2"}, {"1"}) in seen, "the first machine had it before the second"
    assert ({"1"}, {"2"}) not in seen
    assert north.statuses == {200}
    assert machines.kinds("rolled")[-4:-1] == ["traffic_started", "advanced", "advanced"]
