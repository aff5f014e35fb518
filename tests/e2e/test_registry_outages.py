"""MLflow hanging, dead, or something else in its place: predictions go on, the age of the news shows, it heals by itself."""

import contextlib
import json
import pickle
import re
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = b"<!doctype html><title>Welcome</title><p>It works!"
CUT = b'{"registered_models": [{"name": "times", "aliases": [{"alias": "champ'
GARBAGE = {
    "a page in HTML": (200, {"Content-Type": "text/html"}, PAGE, r"not one of MLflow's"),
    "an empty object": (200, {}, b"{}", r"not one of MLflow's"),
    "cut JSON": (200, {}, CUT, r"not one of MLflow's"),
    "less than it promised": (200, {"Content-Length": "5000"}, CUT, r"not one of MLflow's|gave no answer"),
    "a failure": (500, {}, b"oops", r"status 500"),
    "redirects without end": (302, {"Location": "/"}, b"", r"status 302"),
}
"""What it answers to everything: status, headers, body; and what is said about it."""


class Impostor(ThreadingHTTPServer):
    """A server on MLflow's port."""

    daemon_threads = True
    answer: tuple[int, dict[str, str], bytes, str]


class _Same(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Impostor)
        status, headers, body, _ = self.server.answer
        self.send_response(status)
        for key, text in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(key, text)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  the base class's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Quietly."""


@contextlib.contextmanager
def impostor(port: int) -> Iterator[Impostor]:
    with Impostor(("127.0.0.1", port), _Same) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture
def model(site: Any, until: Any) -> Iterator[str]:
    """A model of its own: version 1 gives 2, version 2 gives 3; version 1 is live."""
    name = f"times-{uuid.uuid4().hex[:6]}"
    for factor in (2.0, 3.0):
        site.register(name, site.times(factor))
    site.point(name, "1")
    until(lambda: site.serves(name, "1"), 60, "the first version is live")
    until(lambda: _states(site, name).get("2") == "ready", 60, "the second version is ready")
    yield name
    if any(entry["name"] == name for entry in site.status()["models"]):
        site.delete(name)


def _states(site: Any, name: str) -> dict[str, str]:
    (entry,) = [entry for entry in site.status()["models"] if entry["name"] == name]
    return {version["version"]: version["state"] for version in entry["versions"]}


def _expect_growing_staleness(site: Any, until: Any, error: str) -> None:
    """Ready all the while, and telling how old the news is and why."""
    until(lambda: re.search(error, site.get("/readyz").json()["registry_error"] or ""), 15, f"the error {error!r} shows")
    readings = []
    for _ in range(2):
        ready = site.get("/readyz")
        assert ready.status_code == 200
        readings.append((ready.json()["staleness_seconds"], site.staleness()))
        time.sleep(0.3)
    (told, measured), (told_later, measured_later) = readings
    assert told_later - told >= 0.3
    assert measured_later - measured >= 0.3
    assert abs(measured - told) < 5


def _expect_degraded(site: Any, until: Any, error: str) -> None:
    """After STAGEDOOR_STALE_AFTER_SECONDS health says so, and so does the command; no load balancer takes the gateway out."""
    until(lambda: site.get("/health").json()["status"] == "degraded", 15, "health is degraded")
    health = site.get("/health")
    assert health.status_code == 200
    assert any(re.search(r"last read \d+ seconds ago; the last snapshot is served", why) for why in health.json()["reasons"])

    def shown() -> str:
        return " ".join(site.command().split())

    assert "degraded" in shown()
    assert re.search(r"registry read [\d.]+ s ago", shown())
    # On a busy machine one of the reads may fail in another way than the rest.
    until(lambda: re.search(rf"MLflow: .*({error})", shown()), 15, f"the command shows {error!r}")


def _expect_healing(site: Any, until: Any, model: str, live: str, next_one: str) -> None:
    """Nobody does anything but move the alias."""
    until(lambda: site.get("/health").json() and site.get("/health").json()["status"] == "healthy", 40, "it heals")
    assert site.get("/readyz").json()["registry_error"] is None
    assert site.staleness() < 5
    assert "healthy" in site.command()
    assert site.serves(model, live)
    site.point(model, next_one)
    until(lambda: site.serves(model, next_one), 20, "a move after the outage is followed")


def test_predictions_go_on_while_mlflow_hangs(site: Any, until: Any, model: str) -> None:
    with site.trickle(model) as trickle:
        site.signal_mlflow(signal.SIGSTOP)
        try:
            _expect_growing_staleness(site, until, "gave no answer|in time")
            _expect_degraded(site, until, "gave no answer|in time")
            assert trickle.kinds() == {(200, "1", 2.0)}
        finally:
            site.signal_mlflow(signal.SIGCONT)
        _expect_healing(site, until, model, "1", "2")
    assert trickle.kinds() == {(200, "1", 2.0), (200, "2", 3.0)}
    assert len(trickle.answers) > 50


def test_predictions_go_on_while_mlflow_is_dead_and_whatever_answers_in_its_place(site: Any, until: Any, model: str) -> None:
    with site.trickle(model) as trickle:
        site.signal_mlflow(signal.SIGKILL)
        try:
            _expect_growing_staleness(site, until, "gave no answer")
            _expect_degraded(site, until, "gave no answer")
            before = site.staleness()
            with contextlib.ExitStack() as stack:
                server = None
                for answer in GARBAGE.values():
                    if server is None:
                        Impostor.answer = answer
                        server = stack.enter_context(impostor(site.mlflow_port))
                    server.answer = answer
                    _expect_growing_staleness(site, until, answer[3])
                    now = site.staleness()
                    assert now > before, "garbage passed for news"
                    before = now
                _expect_degraded(site, until, "status 302")
            assert trickle.kinds() == {(200, "1", 2.0)}
        finally:
            site.start_mlflow()
        _expect_healing(site, until, model, "1", "2")
    assert trickle.kinds() == {(200, "1", 2.0), (200, "2", 3.0)}
    assert len(trickle.answers) > 100


def test_a_cold_start_without_mlflow_serves_the_last_snapshot(site: Any, until: Any, model: str) -> None:
    site.end_gateway()
    site.signal_mlflow(signal.SIGKILL)
    try:
        site.start_gateway()
        assert {site.predict(model) for _ in range(12)} == {(200, "1", 2.0)}
        _expect_growing_staleness(site, until, "gave no answer")
        _expect_degraded(site, until, "gave no answer")
        assert site.serves(model, "1")
    finally:
        site.start_mlflow()
    _expect_healing(site, until, model, "1", "2")


def test_without_its_alias_a_model_is_not_found_until_the_alias_is_back(site: Any, until: Any, model: str) -> None:
    site.mlflow("DELETE", "mlflow/registered-models/alias", json={"name": model, "alias": "champion"})
    until(lambda: {site.predict(model)[0] for _ in range(12)} == {404}, 20, "the plain name means nothing")
    site.point(model, "2")
    until(lambda: site.serves(model, "2"), 20, "the alias means something again")
    assert site.get("/health").json()["status"] == "healthy"


def test_a_deleted_version_ends_what_its_alias_meant(site: Any, until: Any, model: str) -> None:
    with site.trickle(model) as trickle:
        site.mlflow("DELETE", "mlflow/model-versions/delete", json={"name": model, "version": "1"})
        until(lambda: {site.predict(model)[0] for _ in range(12)} == {404}, 20, "MLflow dropped the alias with the version")
    assert trickle.kinds() <= {(200, "1", 2.0), (404, "", None)}
    site.point(model, "2")
    until(lambda: site.serves(model, "2"), 20, "another version takes the alias")


def test_a_deleted_model_is_gone_and_a_new_one_of_its_name_is_not_the_old_one(site: Any, until: Any, model: str) -> None:
    site.delete(model)
    until(lambda: {site.predict(model)[0] for _ in range(12)} == {404}, 20, "the name means nothing")
    assert site.register(model, site.times(7.0)) == "1"
    site.point(model, "1")
    until(lambda: site.serves(model, "1"), 60, "the new first version is live")
    assert {site.predict(model) for _ in range(12)} == {(200, "1", 7.0)}


PICKLED = b"""flavors:
  python_function: {loader_module: mlflow.sklearn, model_path: model.pkl, env: {}}
  sklearn: {pickled_model: model.pkl, serialization_format: cloudpickle}
"""
BAD = {
    "corrupted": ({"model.onnx": b"\x08\x08" + bytes(range(256))}, "load_failed", r"ONNX"),
    "pickled": (
        {"MLmodel": PICKLED, "model.pkl": pickle.dumps({"weights": [1.0]}), "model.onnx": None},
        "unsafe_artifact",
        r"is a pickle",
    ),
    "without its files": ({"model.onnx": None}, "missing_artifact", r"not among the model's files"),
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_version_that_cannot_be_served_is_refused_and_the_old_one_keeps_serving(
    site: Any, until: Any, model: str, kind: str
) -> None:
    changes, code, reason = BAD[kind]
    files = {path: body for path, body in {**site.times(9.0), **changes}.items() if body is not None}
    with site.trickle(model) as trickle:
        version = site.register(model, files)
        site.point(model, version)
        until(lambda: _states(site, model).get(version) == "refused", 60, "the version is refused")
        (entry,) = json.loads(site.command("--json", model))["models"]
    (refused,) = [found for found in entry["versions"] if found["version"] == version]
    assert refused["code"] == code
    assert re.search(reason, refused["reason"])
    assert re.search(rf"alias champion: version {version} was refused .*version 1 keeps serving", " ".join(entry["problems"]))
    assert site.get("/health").json()["status"] == "degraded"
    assert site.predict(f"{model}/{version}")[0] == 503
    assert trickle.kinds() == {(200, "1", 2.0)}
    site.point(model, "2")
    until(lambda: site.serves(model, "2"), 20, "a good version is followed again")
