"""Apps on real ports of this machine, and the command line before them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "now": 0.0,
    "serial": 7,
    "health": {"status": "healthy", "reasons": []},
    "staleness_seconds": 0.4,
    "registry": {"error": None},
    "models": [
        {
            "name": "fraud",
            "route": {"epoch": 5, "arms": [{"name": "champion", "version": "1", "weight": 10_000}]},
            "versions": [],
            "problems": [],
        }
    ],
    "workers": [{"pid": 11, "serial": 7}],
}


class Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The address of `app` while it is served by threads."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


@dataclass
class FakeGateway:
    """Says what a gateway says, and answers a cohort's requests in turn by the stable version and by the candidate."""

    cohorts: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answer: int = 200

    def app(self) -> Flask:
        app = Flask(__name__)

        @app.get("/status")
        def status() -> Response:
            return jsonify(STATUS)

        @app.get("/models/fraud")
        def model() -> Response:
            columns = [
                {"name": "amount", "datatype": "FP64", "shape": [-1]},
                {"name": "country", "datatype": "BYTES", "shape": [-1]},
            ]
            return jsonify({"inputs": columns})

        @app.post("/models/fraud/invocations")
        def predict() -> tuple[Response, int, dict[str, str]]:
            self.bodies.append(request.get_data())
            cohort = request.headers.get("X-Stagedoor-Cohort")
            headers = {"X-Model-Arm": "champion"}
            if cohort:
                self.cohorts.append(cohort)
                if len(self.cohorts) % 2:
                    headers["X-Model-Shielded-From"] = "1"
            return jsonify({"predictions": [1]}), self.answer, headers

        return app
