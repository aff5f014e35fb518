"""A guard over a stub in MLflow's place, and a client for it."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stagedoor.auth import build_authenticator, issue_token
from stagedoor.mlflow_app.guard import Guard
from stagedoor.mlflow_app.nudges import Nudger
from stagedoor.settings import Settings

SETTINGS = Settings(token_secret="s" * 40, bad_tokens_per_minute=5)
ORIGIN = "http://testserver"


class CountingNudger(Nudger):
    """Counts instead of posting."""

    def __init__(self) -> None:
        super().__init__((), str)
        self.count = 0

    def nudge(self) -> None:
        self.count += 1


class Stub:
    """In MLflow's place: answers with what it was sent. `tags` are those of every model; `status` is the answer to changes."""

    def __init__(self) -> None:
        self.status = 200
        self.seen: list[dict[str, Any]] = []
        self.tags: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        if request.url.path.endswith("/registered-models/get") and "authorization" not in request.headers:
            tags = [{"key": key, "value": text} for key, text in self.tags.items()]
            model = {"name": request.query_params.get("name", "fraud"), "tags": tags}
            await JSONResponse({"registered_model": model})(scope, receive, send)
            return
        headers = dict(request.headers)
        self.seen.append({"method": request.method, "path": request.url.path, "headers": headers, "body": await request.body()})
        ours = request.url.path.endswith("-tag") and "user-agent" not in headers
        await JSONResponse({"ok": True}, 200 if ours else self.status)(scope, receive, send)

    @property
    def signatures(self) -> list[dict[str, Any]]:
        """What the guard itself asked for: its requests have no user agent."""
        return [entry for entry in self.seen if "user-agent" not in entry["headers"]]

    @property
    def passed_on(self) -> list[dict[str, Any]]:
        """What it passed on."""
        return [entry for entry in self.seen if "user-agent" in entry["headers"]]


class Client:
    """httpx over ASGI, one call after the other."""

    def __init__(self, app: ASGIApp, base_url: str = ORIGIN) -> None:
        self._runner = asyncio.Runner()
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app, client=("192.0.2.1", 5)), base_url=base_url)
        self.cookies = self._http.cookies

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()


def first_message(app: ASGIApp, body: bytes = b"", **scope: Any) -> Message:
    """What the application answers first to a connection that httpx would not make."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    base = {"method": "GET", "path": "/", "query_string": b"", "headers": [], "client": None}
    asyncio.run(app({**base, **scope}, receive, send))
    return sent[0]


class House:
    """The guard with all around it."""

    def __init__(self, prefix: str = "") -> None:
        self.stub = Stub()
        self.nudger = CountingNudger()
        self.guard = Guard(self.stub, build_authenticator(SETTINGS), self.nudger, prefix=prefix)
        self.clients = [Client(self.guard)]
        self.client = self.clients[0]

    def at(self, base_url: str) -> Client:
        """Another client, at another address of the same server."""
        self.clients.append(Client(self.guard, base_url))
        return self.clients[-1]

    def close(self) -> None:
        for client in self.clients:
            client.close()

    def token(self, role: str | None, **changes: Any) -> str:
        granted = [role] if role else []
        return issue_token(SETTINGS, **{"subject": f"the-{role}", "roles": granted, "now": time.time(), **changes})

    def bearer(self, role: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(role)}"}

    def sign_in(self, role: str, back: str = "/") -> httpx.Response:
        form = {"token": self.token(role), "next": back}
        return self.client.post("/stagedoor/sign-in", data=form, headers={"Origin": ORIGIN})

    def first_message(self, body: bytes = b"", **scope: Any) -> Message:
        return first_message(self.guard, body, **scope)


@pytest.fixture
def house() -> Iterator[House]:
    it = House()
    yield it
    it.close()


@pytest.fixture
def prefixed_house() -> Iterator[House]:
    it = House(prefix="/mlflow")
    yield it
    it.close()
