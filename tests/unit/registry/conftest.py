"""A server in MLflow's place that answers what a test wants, on a real socket."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stagedoor.registry.mlflow_registry import MLflowRegistry

Answer = Callable[[BaseHTTPRequestHandler], None]


class Liar:
    """A server whose next answers a test chooses; it notes what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = say(b"{}")
        self.asked: list[tuple[str, str | None]] = []
        liar = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                liar.asked.append((self.path, self.headers.get("Authorization")))
                try:
                    liar.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_POST = do_DELETE = do_GET  # noqa: N815  names of the base class

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def liar() -> Iterator[Liar]:
    liar = Liar()
    thread = threading.Thread(target=liar.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield liar
    liar.server.shutdown()
    liar.server.server_close()
    thread.join(5)


def say(body: bytes, status: int = 200, length: int | None = None, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


def registry_at(url: str, timeout: float = 0.5) -> MLflowRegistry:
    return MLflowRegistry(url, timeout=timeout)
