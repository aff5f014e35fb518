"""The processes of one machine: started, watched, started again, ended."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stagedoor.errors import ConfigurationError
from stagedoor.local import house as module
from stagedoor.local.house import House, Stopped
from stagedoor.local.models_live import what_is_missing
from stagedoor.local.ports import PortWish, claim
from stagedoor.local.process import Spec

SERVER = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def _until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _spec(tmp_path: Path, *command: str, ready_url: str = "") -> Spec:
    folder = tmp_path / "empty"
    folder.mkdir(exist_ok=True)
    return Spec("child", command, folder, tmp_path / "child.log", ready_url=ready_url, grace_seconds=1)


@pytest.fixture
def server(tmp_path: Path) -> Spec:
    (port,) = claim("127.0.0.1", [PortWish("a server", 0, "--port")])
    return _spec(tmp_path, sys.executable, "-c", SERVER, str(port), ready_url=f"http://127.0.0.1:{port}/")


def test_ready_means_that_it_answers(server: Spec) -> None:
    with House(threading.Event(), print) as house:
        house.start(server)
        house.wait_ready(20)
        assert module.answers(server.ready_url)
    assert not module.answers(server.ready_url)


def test_what_cannot_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    spec = _spec(tmp_path, "sh", "-c", "echo the reason is this; exit 3", ready_url="http://127.0.0.1:9/")
    with House(threading.Event(), print) as house:
        house.start(spec)
        with pytest.raises(ConfigurationError, match=r"child could not start \(exit code 3\)(.|\n)*the reason is this"):
            house.wait_ready(20)


def test_what_never_answers_is_given_up(tmp_path: Path) -> None:
    with House(threading.Event(), print) as house:
        house.start(_spec(tmp_path, "sleep", "300", ready_url="http://127.0.0.1:9/"))
        with pytest.raises(ConfigurationError, match=r"not ready within 0\.3 seconds"):
            house.wait_ready(0.3)


def test_a_stop_ends_the_wait_at_once(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with House(stop, print) as house:
        house.start(_spec(tmp_path, "sleep", "300", ready_url="http://127.0.0.1:9/"))
        with pytest.raises(Stopped):
            house.wait_ready(20)


def test_what_dies_later_is_started_again_and_said(tmp_path: Path) -> None:
    told: list[str] = []
    stop = threading.Event()
    with House(stop, told.append) as house:
        house.start(_spec(tmp_path, "sh", "-c", "echo here >> ../starts; sleep 0.1; exit 5"))
        watching = threading.Thread(target=house.run)
        watching.start()
        try:
            _until(lambda: (tmp_path / "starts").exists() and (tmp_path / "starts").read_text().count("here") >= 2)
        finally:
            stop.set()
            watching.join(10)
    assert "child ended unasked (exit code 5)" in told[0]


def _status(serials: list[int], *live: str) -> dict[str, object]:
    models = [{"name": name, "route": {"epoch": 1}} for name in live]
    return {"serial": 4, "models": models, "workers": [{"serial": serial} for serial in serials]}


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        (_status([4, 4], "a", "b"), ""),
        (_status([4, 4, 4], "a", "b", "c"), ""),
        (_status([4, 4], "a"), "nothing is live of b"),
        (_status([4, 3], "a", "b"), "1 of 2 workers have loaded it"),
        ({}, "nothing is live of a, b"),
        ({"serial": 4, "models": [{"name": "a", "route": None}], "workers": []}, "nothing is live of a, b"),
    ],
    ids=["live", "more than asked", "one missing", "a worker behind", "no answer", "no route"],
)
def test_the_demo_is_live_once_every_worker_has_every_model(status: dict[str, object], missing: str) -> None:
    assert what_is_missing(status, ["a", "b"], 2) == missing
