"""A registry that holds one version, as MLflow would show it: what a gateway needs to serve a model of any origin."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from stagedoor import names

_MODEL = "/api/2.0/mlflow/registered-models"
_VERSION = "/api/2.0/mlflow/model-versions"


class OneModel:
    """Answers on a free port of this machine until it is left. It tells where the files lie; it does not give them out."""

    def __init__(self, name: str, version: str, files: Path) -> None:
        answers = {key: json.dumps(value).encode() for key, value in _answers(name, version, files).items()}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """The five questions that a resolver asks."""
                self._tell(answers.get(urlsplit(self.path).path))

            def do_POST(self) -> None:
                """Findings are taken and forgotten."""
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._tell(b"{}")

            def _tell(self, body: bytes | None) -> None:
                missing = b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}'
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body or missing)))
                self.end_headers()
                self.wfile.write(body or missing)

            def log_message(self, *_: object) -> None:
                """Keep quiet: it is asked each second."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _answers(name: str, version: str, files: Path) -> dict[str, Any]:
    source = files.resolve().as_uri()
    one = {"name": name, "version": version, "current_stage": "None", "source": source, "status": "READY"}
    model = {"name": name, "aliases": [{"alias": names.CHAMPION, "version": version}], "latest_versions": [one]}
    return {
        f"{_MODEL}/search": {"registered_models": [model]},
        f"{_MODEL}/get": {"registered_model": model},
        f"{_VERSION}/get": {"model_version": one},
        f"{_VERSION}/get-download-uri": {"artifact_uri": source},
    }
