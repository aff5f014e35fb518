"""A controller and gateway in one small app: they follow the REST contract, and tell the story that a test gives them."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import mlflow.deployments
import pytest
from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

from stagedoor.mlflow_deployments import watching

TOKEN = "good"
NOW = 1_000.0
LATER = NOW + 1
Json = dict[str, Any]


def row(phase: str = "idle", stable: str | None = "7", candidate: str | None = None, **more: Any) -> Json:
    """One model as the controller's board shows it."""
    empty = {"weight": None, "waiting_for": None, "verdict": None, "gates": [], "last": None, "problems": []}
    return {"model": "fraud", "stable": stable, "phase": phase, "candidate": candidate, **empty, **more}


def ended(outcome: str, version: str, reason: str, at: float = LATER) -> Json:
    return {"outcome": outcome, "version": version, "reason": reason, "at": at, "epoch": 13}


class Stage:
    """`story` holds the model's rows, one for each look; the last one stays. `commands` are what was asked for."""

    def __init__(self) -> None:
        self.story: deque[Json] = deque([row()])
        self.commands: list[tuple[str, Any]] = []
        self.invocations: list[tuple[str, Any]] = []
        self.away = 0
        self.places: Json = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        self._looks = 0
        self._server = make_server("127.0.0.1", 0, self._app(), threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.target = f"stagedoor:{self.url}"

    def tell(self, *rows: Json) -> None:
        self.story = deque(rows)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _look(self) -> Json:
        self._looks += 1
        now = self.story.popleft() if len(self.story) > 1 else self.story[0]
        return {"updated_at": NOW + self._looks, **now}

    def _app(self) -> Flask:  # noqa: C901  one small view for each path
        app = Flask("stage")

        @app.before_request
        def check() -> Any:
            if request.path == "/stagedoor":
                return None
            if self.away:
                self.away -= 1
                return problem(503, "The ledger gives no answer.")
            if request.headers.get("Authorization") != f"Bearer {TOKEN}":
                return problem(401, "The request carries no valid bearer token.")
            verb = request.path.rsplit("/", 1)[-1]
            return problem(*self.refusals[verb]) if verb in self.refusals else None

        @app.get("/stagedoor")
        def role() -> Any:
            places = {"role": "controller", "gateway": self.url, "controller": self.url, "mlflow": None, "version": "0"}
            return jsonify(places | self.places)

        @app.get("/v1/models")
        def models() -> Any:
            return jsonify({"models": [self.story[0]]})

        @app.get("/v1/models/<model>")
        def model(model: str) -> Any:
            return jsonify(self._look()) if model == "fraud" else problem(404, "There is no model of that name.")

        @app.post("/v1/models/<model>/<verb>")
        def command(model: str, verb: str) -> Any:
            self.commands.append((verb, request.get_json()))
            return jsonify({**self.story[0], "asked_at": NOW}), 202

        @app.post("/models/<path:ref>/invocations")
        def invocations(ref: str) -> Any:
            body = request.get_json()
            self.invocations.append((ref, body))
            if body.get("inputs") == "bad":
                return problem(422, "inputs: expected numbers, found text.")
            return jsonify({"predictions": [0.5]})

        return app


def problem(status: int, detail: str) -> Response:
    answer = jsonify({"type": "/problems/x", "title": "T", "status": status, "detail": detail, "code": "x"})
    answer.status_code = status
    return answer


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.005)
    stage = Stage()
    stage.start()
    yield stage
    stage.stop()


def client(stage: Any) -> Any:
    return mlflow.deployments.get_deploy_client(stage.target)
