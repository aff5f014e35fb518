"""MLflow's own application, asked from inside this process: never over the network, and without a token."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stagedoor.mlflow_app.exchange import cleaned, replayed

SECONDS: Final = 20.0
API: Final = "/api/2.0/mlflow/"
# What MLflow looks at before it answers: whether the host is one of its own, and which workspace is meant.
_KEPT: Final = frozenset({b"host", b"x-mlflow-workspace"})
_OK: Final = range(200, 300)


@dataclass(slots=True)
class Answer:
    """An answer held back. As `send` it takes the messages of one application; `hand_over` passes them on."""

    messages: list[Message] = field(default_factory=list)

    async def __call__(self, message: Message) -> None:
        """Keep `message`."""
        self.messages.append(message)

    @property
    def status(self) -> int:
        """The status; 0 as long as there is none."""
        return next((int(message["status"]) for message in self.messages if message["type"] == "http.response.start"), 0)

    @property
    def ok(self) -> bool:
        """Whether MLflow did it."""
        return self.status in _OK

    @property
    def body(self) -> bytes:
        """All of the body that came."""
        return b"".join(message.get("body", b"") for message in self.messages if message["type"] == "http.response.body")

    async def hand_over(self, send: Send) -> None:
        """Pass all of it on."""
        for message in self.messages:
            await send(message)


class Inner:
    """Asks `app`, which answers under `prefix`, on behalf of a request that came from outside."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def pass_on(self, scope: Scope, receive: Receive) -> Answer:
        """The answer to the request itself."""
        answer = Answer()
        await self._app(cleaned(scope), receive, answer)
        return answer

    async def get(self, scope: Scope, tail: str, query: Mapping[str, str]) -> Answer:
        """The answer to a question of our own. Raises TimeoutError."""
        return await self._ask(scope, "GET", tail, urlencode(query).encode(), b"")

    async def post(self, scope: Scope, tail: str, fields: Mapping[str, Any]) -> Answer:
        """The answer to a change of our own. Raises TimeoutError."""
        return await self._ask(scope, "POST", tail, b"", json.dumps(fields).encode())

    async def delete(self, scope: Scope, tail: str, fields: Mapping[str, Any]) -> Answer:
        """The answer to a deletion of our own. Raises TimeoutError."""
        return await self._ask(scope, "DELETE", tail, b"", json.dumps(fields).encode())

    async def _ask(self, scope: Scope, method: str, tail: str, query: bytes, body: bytes) -> Answer:
        path = f"{scope.get('root_path', '')}{self._prefix}{API}{tail}"
        kept = [(name, value) for name, value in scope["headers"] if name.lower() in _KEPT]
        length = str(len(body)).encode()
        asked = {
            **scope,
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query,
            "headers": [*kept, (b"content-type", b"application/json"), (b"content-length", length)],
        }
        answer = Answer()
        async with asyncio.timeout(SECONDS):
            await self._app(asked, replayed(body, _nothing_more), answer)
        return answer


async def _nothing_more() -> Message:
    """Whoever waits here is cancelled with the question."""
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}
