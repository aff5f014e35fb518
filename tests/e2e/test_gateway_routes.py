"""A real gateway that follows a controller's routes; the test is the controller."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
import requests

from stagedoor.auth import issue_token
from stagedoor.domain.route_tag import write_route
from stagedoor.domain.traffic import Arm, Route
from stagedoor.settings import Settings

from .conftest import STALE_AFTER_SECONDS, Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Until = Callable[[Callable[[], Any], float, str], Any]


class Watch:
    """Predictions one after another; keeps status, version and epoch of each."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.seen: list[tuple[int, str, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self._site.token}", "Content-Type": "application/json"}
        address = f"{self._site.gateway_url}/models/led/invocations"
        with requests.Session() as session:
            while not self._stop.wait(0.01):
                answer = session.post(address, data=b'{"inputs": [[1.0]]}', headers=headers, timeout=10)
                version, epoch = answer.headers.get("X-Model-Version", ""), int(answer.headers.get("X-Route-Epoch", 0))
                self.seen.append((answer.status_code, version, epoch))

    def next(self, count: int) -> list[tuple[int, str, int]]:
        """The next `count` answers."""
        begin = len(self.seen)
        end = time.monotonic() + 30
        while len(self.seen) < begin + count:
            assert time.monotonic() < end, "predictions hang"
            time.sleep(0.02)
        return self.seen[begin : begin + count]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "a prediction hangs"


class Led(Site):
    """A site whose gateway follows routes, and the hand that issues them."""

    def start_gateway(self) -> None:
        self._env |= {"STAGEDOOR_FOLLOW": "route", "STAGEDOOR_NODE_NAME": "north-1"}
        super().start_gateway()

    def issue(self, epoch: int, stable: str, candidate: str = "", share: int = 5000, warm: tuple[str, ...] = ()) -> None:
        rest = share if candidate else 0
        arms = (Arm("champion", stable, 10_000 - rest), *([Arm("candidate", candidate, rest)] if candidate else []))
        aliases = (("champion", stable),)
        route = Route(epoch, arms, b"salt", issued=True, aliases=aliases, warm=warm, watched=bool(candidate))
        self.set_tag("stagedoor.route", write_route(route))

    def set_tag(self, key: str, value: str) -> None:
        settings = Settings(state_dir=self.paths.root)
        token = issue_token(
            settings, subject="controller", roles=["admin"], models=("*",), lifetime_seconds=600, now=time.time()
        )
        answer = requests.post(
            f"{self.mlflow_url}/api/2.0/mlflow/registered-models/set-tag",
            headers={"Authorization": f"Bearer {token}"},
            json={"name": "led", "key": key, "value": value},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text

    def problems(self) -> list[str]:
        """What the gateway complains of; nothing before it has read of the model."""
        return [text for model in self.status()["models"] for text in model["problems"]]

    def epochs(self) -> list[int]:
        """The epoch of each worker's route."""
        return [worker["routes"].get("led", 0) for worker in self.status()["workers"]]


@pytest.fixture
def led(tmp_path: Any) -> Iterator[Led]:
    site = Led(tmp_path)
    try:
        site.start_mlflow()
        site.start_gateway()
        yield site
    finally:
        site.close()


def test_a_gateway_serves_what_the_controller_issued_whatever_people_and_outages_do(led: Led, until: Until) -> None:
    for factor in (2.0, 3.0):
        led.register("led", led.times(factor))
    led.point("led", "2")
    until(lambda: any("waits for a controller" in text for text in led.problems()), 30, "it waits")
    assert led.predict("led")[0] in {404, 503}
    led.issue(1, "1", warm=("2",))
    until(lambda: set(led.epochs()) == {1}, 30, "epoch 1 is in force")
    assert led.serves("led", "1")
    assert led.status()["node"] == "north-1"
    with Watch(led) as watch:
        led.issue(2, "1", "2")
        until(lambda: set(led.epochs()) == {2}, 30, "epoch 2 is in force")
        assert {answer[1] for answer in watch.next(60)} == {"1", "2"}
        led.issue(1, "2")  # an older controller's last word
        until(lambda: any("no epoch goes back" in text for text in led.problems()), 30, "it is ignored")
        led.signal_mlflow(signal.SIGKILL)
        time.sleep(STALE_AFTER_SECONDS + 3)
        assert {answer[1] for answer in watch.next(60)} == {"1"}
    led.end_gateway()
    led.start_gateway()
    assert until(lambda: led.serves("led", "1"), 30, "the stable version serves after a restart without MLflow")
    until(lambda: set(led.epochs()) == {2}, 30, "no worker's epoch goes back")
    assert {status for status, _, _ in watch.seen} == {200}
    epochs = [epoch for _, _, epoch in watch.seen]
    assert epochs == sorted(epochs)
